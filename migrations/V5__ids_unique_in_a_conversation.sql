-- A message's id is unique in its conversation, not in the world. So nobody's choice of an id depends on other people's messages, and
-- `messages` can be partitioned by conversation.
--
-- The index has the id first. The release before this one looks messages up by id alone, and this order serves both releases. It also
-- keeps the index small in memory: ids are UUID v7, so new ones go to its right end.
--
-- On a large live table, run these two statements by hand first, outside a transaction: the index with `concurrently`, then the drop.

create unique index if not exists messages_by_id on messages (id, conversation_id);
alter table messages drop constraint if exists messages_id;
