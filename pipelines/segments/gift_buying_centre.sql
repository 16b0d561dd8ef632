-- Mid-autumn gifts for companies: whoever decides or influences, in companies large enough to order by the
-- hundred, that have looked at gift boxes lately. One letter a person, however many companies.
-- Owner: corporate sales
CREATE SEGMENT gift_buying_centre
  FOR PURPOSE account_based_marketing CHANNEL email
  AS SELECT DISTINCT c.member_id
     FROM contacts c
     JOIN accounts a ON a.account_id = c.account_id
     JOIN members m ON m.member_id = c.member_id
     WHERE c.buying_role IN ('decision_maker', 'influencer')
       AND a.country = 'CN'
       AND a.size_band IN ('200-499', '500-999', '1000+')
       AND (m.product_views_30d >= 2 OR m.purchases_365d >= 1);
