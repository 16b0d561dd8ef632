-- Members who told us that they avoid caffeine or sleep badly: teas for the evening.
-- Owner: product
CREATE SEGMENT evening_tea
  FOR PURPOSE health_advice CHANNEL app_push
  AS SELECT member_id
     FROM members
     WHERE avoids_caffeine
        OR last_health_concern = 'sleep';
