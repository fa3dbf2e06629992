-- Search in its whole order, imports that are checked, and messages that fit in a response.

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

-- How many messages a summary stands for, as the line of an import says it, while fewer of them are stored. `messages` is what is stored. Null:
-- they are all there.
alter table summaries add column claimed bigint;

-- A message fits in a response with all that comes with it: ids, times, and the conversation in a list. `messages_response_size` does not
-- count what is escaped in the tool call's id and in the name. This is not validated, because a message of before that is too large can
-- still be read by its pieces.
alter table messages add constraint messages_answer_size check (
    size <= 700000
    or size
        + coalesce(octet_length(to_json(content)::text) - octet_length(content), 0)
        + coalesce(octet_length(to_json(tool_call_id)::text) - octet_length(tool_call_id), 0)
        + coalesce(octet_length(to_json(name)::text) - octet_length(name), 0)
        <= 4450000
) not valid;
