-- Rulers that grow with a conversation, so that the window of get-context can start at a place that stays (its parameter `step`). Positions
-- are the ruler of messages. A message keeps how many characters and tokens were appended before it. The conversation keeps how many
-- there are in all. No count goes back when something is edited or deleted.
--
-- The messages that are here already have none. get-context counts backwards to them from the first message that has: there both rulers
-- begin at 0.

alter table conversations add column characters_appended bigint, add column tokens_appended bigint;
alter table messages add column characters_before bigint, add column tokens_before bigint;
