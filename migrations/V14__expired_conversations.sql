-- A purge deletes an expired conversation as an erasure does: it moves the row here, and then deletes the messages in steps. Two things
-- depend on why a conversation is here. An erasure counts only what had not expired. The id of an expired conversation is free.
--
-- When an erasure moved the conversation here. A purge leaves it to that erasure for an hour. Null: it had expired. The release before
-- moves conversations here without this column, and knows no expiry.
alter table erased_conversations add column erased_at timestamptz default now();
