-- A search ends at a message: at a time, a conversation and a position. Forks copy times, so thousands of messages can have one time, and an
-- index on the time alone would have to be read to the end of it. This index has the whole order.
--
-- The release before reads the new index as it read the old one, which is its beginning.
--
-- On a large live table, run both by hand first, outside a transaction, with `concurrently`.

-- squawk-ignore require-concurrent-index-creation
create index if not exists messages_by_owner_in_order on messages (owner_key, created_at, conversation_id, position);
-- squawk-ignore require-concurrent-index-deletion
drop index if exists messages_by_owner;
