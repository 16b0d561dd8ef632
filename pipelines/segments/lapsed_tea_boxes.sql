-- Subscribers of the monthly box who ended it in the last half year and still buy tea now and then.
-- They liked the tea and not the rhythm: offer the seasonal box.
-- Owner: subscriptions
CREATE SEGMENT lapsed_tea_boxes
  FOR PURPOSE email_marketing CHANNEL email
  AS SELECT DISTINCT m.member_id
     FROM members m
     JOIN subscriptions s ON s.member_id = m.member_id
     WHERE s.plan = 'monthly_box'
       AND s.status = 'cancelled'
       AND s.ends_at >= now() - INTERVAL '180 days'
       AND m.purchases_365d >= 1;
