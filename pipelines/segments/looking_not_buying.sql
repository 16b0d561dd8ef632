-- Members who keep looking at one product and have not bought anything since: show them that tea again,
-- with its brewing guide, in the app.
-- Owner: growth
CREATE SEGMENT looking_not_buying
  FOR PURPOSE personalised_recommendations CHANNEL app_push
  AS WITH looked AS (
       SELECT member_id, product, count(*) AS views, max(event_time) AS last_view
       FROM events
       WHERE name = 'Product Viewed'
         AND event_time >= now() - INTERVAL '30 days'
       GROUP BY member_id, product
       HAVING count(*) >= 3
     )
     SELECT DISTINCT m.member_id
     FROM looked l
     JOIN members m ON m.member_id = l.member_id
     WHERE m.last_purchase_at IS NULL
        OR m.last_purchase_at < l.last_view;
