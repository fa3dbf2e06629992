-- Versions: a conversation may be a tree of messages, and one path through it is its current line.
--
-- `messages` holds the line, as before. A message of the line has no column for its parent, because that is the message before it. What
-- leaves the line moves to `kept_messages`, in the transaction of the request that moves it, and moves back when its line is chosen. So a
-- conversation that was never branched costs nothing more, and everything that reads `messages` reads the line.
--
-- Both tables take their positions from the conversation's counter. So a position names one message of the conversation, and positions grow
-- along every path.

create table kept_messages (
    conversation_id uuid not null,
    position bigint not null,
    -- The position of the message that it follows, which is kept, too, or on the line. 0: it follows none.
    parent_position bigint not null,
    id uuid not null,
    role text not null,
    content text,
    content_parts json,
    parts_text text,
    tool_calls json,
    tool_call_id text,
    name text,
    metadata json not null,
    extra json,
    feedback json,
    token_count integer,
    in_progress boolean,
    alive_at timestamptz,
    characters_before bigint,
    tokens_before bigint,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    size integer not null,
    characters integer not null,
    appended_version bigint,
    media_bytes integer,
    media_tokens integer,
    -- There is no owner_key: search reads the line alone, so a transfer has nothing to change here.
    primary key (conversation_id, position),
    constraint kept_messages_parent check (parent_position >= 0 and parent_position < position)
);
-- The conversation comes last in these two. Otherwise a planner that knows little of the table could take them for as good as the primary
-- key. It would read all kept messages of a conversation through them.
create unique index kept_messages_by_id on kept_messages (id, conversation_id);
create index kept_messages_by_parent on kept_messages (parent_position, conversation_id);
-- For replies that have lost their writers.
create index kept_messages_in_progress on kept_messages (conversation_id, position) where in_progress;

-- How many messages are kept. Null: the conversation was never branched.
alter table conversations add column kept_count bigint;

-- As in V9. A conversation that is deleted, and not moved to `erased_conversations`, takes its messages with it, now also the kept ones.
create or replace function delete_messages() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    if not exists (select from public.erased_conversations e where e.id = old.id) then
        delete from public.messages m where m.conversation_id = old.id;
        if old.kept_count is not null then
            delete from public.kept_messages k where k.conversation_id = old.id;
        end if;
    end if;
    return null;
end
$$;

-- The release before erases without knowing of kept messages.
create function delete_kept_messages() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    delete from public.kept_messages k where k.conversation_id = old.id;
    return null;
end
$$;
revoke execute on function delete_kept_messages() from public;
create trigger erased_conversations_delete_kept after delete on erased_conversations
    for each row execute function delete_kept_messages();
alter table erased_conversations enable always trigger erased_conversations_delete_kept;
