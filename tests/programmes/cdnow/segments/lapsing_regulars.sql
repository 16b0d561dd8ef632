-- Three orders or more, and none in 90 days.
CREATE SEGMENT lapsing_regulars
  FOR PURPOSE email_marketing CHANNEL email
  AS SELECT member_id FROM members
     WHERE purchases_90d = 0 AND purchases_total >= 3;
