-- A message's id is unique in its conversation, not in the world. So nobody's choice of an id depends on other people's messages, and
-- `messages` can be partitioned by conversation.
--
-- The index has the id first. The release before this one looks messages up by id alone, and this order serves both releases. It also
-- keeps the index small in memory: ids are UUID v7, so new ones go to its right end.
--
-- On a large live table, run these two statements by hand first, outside a transaction: the index with `concurrently`, then the drop.

-- Appends wait while the index is built. On a table that is small or has no traffic, nobody notices.
-- squawk-ignore require-concurrent-index-creation
create unique index if not exists messages_by_id on messages (id, conversation_id);
-- The release before looks ids up before it inserts, and refuses those that it finds. It needs the index and not the constraint.
-- squawk-ignore ban-drop-constraint
alter table messages drop constraint if exists messages_id;
