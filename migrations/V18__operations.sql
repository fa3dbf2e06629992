-- Requests that have changed a conversation, so that one that comes again is recognized by its Idempotency-Key. The newest 8 are kept: a
-- late duplicate may come behind other changes, and would undo them. Appends are recognized by the ids of their messages.
--
-- For each of them, the newest first: the key, a digest of the request, the version of the conversation behind it, and how many
-- messages it deleted. They are null until a conversation is first changed by anything but an append. From then on they take up to 320
-- bytes of its row. `last_operation` and `last_deleted` are for the release before.

alter table conversations
    add column operations uuid[], add column operation_requests integer[], add column operation_versions bigint[],
    add column operation_results bigint[];

-- Requests that have deleted a conversation: its row is gone. An id is a digest of the conversation, the key and the request, so nothing here
-- tells whose it was. A row takes about 130 bytes with its indexes, until the purge that comes an hour later.
create table deletions (
    id uuid primary key,
    deleted_at timestamptz not null default now()
);
create index deletions_by_time on deletions (deleted_at);
