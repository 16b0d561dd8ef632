-- First flush tasting at West Lake: members from around Hangzhou who spend on tea, dearest first.
-- The room seats 400.
-- Owner: growth
CREATE SEGMENT spring_tasting_hangzhou
  FOR PURPOSE sms_marketing CHANNEL sms
  AS SELECT member_id
     FROM members
     WHERE city IN ('杭州', '绍兴', '湖州', '嘉兴')
       AND tier IN ('银毫', '金芽')
       AND revenue_365d >= 500
     ORDER BY revenue_365d DESC, member_id
     LIMIT 400;
