-- People in companies that ordered gifts last year and not this one: a call before the season, not after.
-- Owner: corporate sales
CREATE SEGMENT gift_accounts_cooling
  FOR PURPOSE account_based_marketing CHANNEL phone_call
  AS SELECT DISTINCT c.member_id
     FROM contacts c
     JOIN members m ON m.member_id = c.member_id
     WHERE c.buying_role = 'decision_maker'
       AND m.purchases_total >= 1
       AND m.days_since_last_purchase BETWEEN 270 AND 540;
