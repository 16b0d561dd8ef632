-- Boxes that renew by themselves within the week. A reminder before an automatic payment is part of the
-- contract, so it needs no marketing consent, and says nothing but date, amount and how to cancel.
-- Owner: subscriptions
CREATE SEGMENT renewal_reminders
  FOR PURPOSE membership_service CHANNEL sms
  AS SELECT DISTINCT member_id
     FROM subscriptions
     WHERE status = 'active'
       AND renews_at >= now()
       AND renews_at < now() + INTERVAL '7 days';
