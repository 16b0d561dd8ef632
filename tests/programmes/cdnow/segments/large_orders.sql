-- A single order of fifty dollars or more.
CREATE SEGMENT large_orders
  FOR PURPOSE partner_sharing RECIPIENT label
  AS SELECT DISTINCT member_id FROM events
     WHERE name = 'Order Completed' AND revenue >= 50;
