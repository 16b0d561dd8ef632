-- Regulars who have not come back for a quarter: three orders or more, none in 90 days, yet seen within
-- the year. The autumn letter goes to them before the tea of the season is gone.
-- Owner: growth
CREATE SEGMENT lapsing_regulars
  FOR PURPOSE email_marketing CHANNEL email
  AS SELECT member_id
     FROM members
     WHERE purchases_total >= 3
       AND purchases_90d = 0
       AND days_since_last_purchase <= 365;
