-- Seed for a look-alike audience: our best buyers of the year, to one named platform, by number only.
-- Owner: growth
CREATE SEGMENT buyers_like_ours
  FOR PURPOSE ad_platform_sharing RECIPIENT xinghe_ads
  AS SELECT member_id
     FROM members
     WHERE purchases_365d >= 4
       AND revenue_365d >= 1200;
