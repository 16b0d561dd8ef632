-- Two hundred dollars or more within a year.
CREATE SEGMENT best_buyers
  FOR PURPOSE catalogue_mailing CHANNEL post
  AS SELECT member_id FROM members
     WHERE revenue_365d >= 200;
