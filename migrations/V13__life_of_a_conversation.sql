-- Forks, an archive, pins, an end, and replies that are still being written.

-- When the newest message was appended. Unlike `updated_at`, it stays when something is edited or deleted.
alter table conversations add column last_message_at timestamptz;
alter table conversations add column archived_at timestamptz, add column pinned_at timestamptz;
-- From this moment on, the stored functions find neither the conversation nor its messages, and a purge deletes them. Null: never.
alter table conversations add column expires_at timestamptz;
-- The conversation that this one is a copy of, and the position of the last message that was copied. The source may be gone.
alter table conversations add column forked_from uuid, add column forked_position bigint;

-- A reply that is still being written. Null: a complete message, as almost all are.
alter table messages add column in_progress boolean;

-- A merge must not make metadata larger than a request could. `not valid`: the next migration but one checks what is there, in a transaction
-- of its own, in which nobody is blocked.
alter table messages add constraint messages_metadata_size check (octet_length(metadata::text) <= 262144) not valid;
-- A message fits in a response, whatever has to be escaped in it. Edits could make one that does not, piece by piece.
alter table messages add constraint messages_response_size check (
    size <= 700000 or coalesce(octet_length(to_json(content)::text) - octet_length(content), 0) + size <= 4480000
) not valid;

update conversations c
set last_message_at = (select m.created_at from messages m where m.conversation_id = c.id order by m.position desc limit 1)
where c.message_count > 0;

-- The release before appends without it.
create function note_append() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.last_message_at := new.updated_at;
    return new;
end
$$;
revoke execute on function note_append() from public;
create trigger conversations_note_append before update of next_position on conversations
    for each row when (new.next_position > old.next_position and new.last_message_at is not distinct from old.last_message_at)
    execute function note_append();
alter table conversations enable always trigger conversations_note_append;

-- On a large live table, run the indexes by hand first, outside a transaction, each with `concurrently`.

-- A list by activity is one index range a page. A conversation without messages counts from when it was made.
-- squawk-ignore require-concurrent-index-creation
create index if not exists conversations_by_activity
    on conversations (user_id, coalesce(last_message_at, created_at) desc, id desc);
-- What a purge looks for. Most conversations never expire.
-- squawk-ignore require-concurrent-index-creation
create index if not exists conversations_by_end on conversations (expires_at) where expires_at is not null;
-- Contexts leave out what is not complete, and count it.
-- squawk-ignore require-concurrent-index-creation
create index if not exists messages_in_progress on messages (conversation_id, position) where in_progress;
