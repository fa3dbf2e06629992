-- Search reads a user's messages from the newest to the oldest, a bounded number in a request. It needs an index in that order, over all of
-- the user's conversations. Without one, every page would have to read the whole history to find its newest part.
--
-- `owner_key` is a hash of the conversation's user. It takes 8 bytes where a user id takes up to 255. Search checks the user itself, so a
-- collision of hashes costs time and shows nothing. The rule must never change, therefore it is SHA-256 and no hash of PostgreSQL's own.
--
-- On a large live table, run these by hand first, in this order: the column, the trigger, the update for some thousand rows at a time, and
-- the index with `concurrently`.

-- `stable`, as `convert_to` is: only then does PostgreSQL put the expression into the statement, which saves an append 50 µs.
create function owner_key(user_id text) returns bigint
language sql stable parallel safe as $$
    select ('x' || encode(substr(sha256(convert_to($1, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;
revoke execute on function owner_key(text) from public;

alter table messages add column if not exists owner_key bigint;

-- Fills what the release before this one does not know.
create or replace function fill_derived_columns() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.size := coalesce(octet_length(new.content), 0)
        + coalesce(octet_length(new.content_parts::text), 0)
        + coalesce(octet_length(new.tool_calls::text), 0)
        + coalesce(octet_length(new.tool_call_id), 0)
        + coalesce(octet_length(new.name), 0)
        + octet_length(new.metadata::text);
    new.characters := coalesce(char_length(new.content), 0)
        + coalesce(char_length(new.content_parts::text), 0)
        + coalesce(char_length(new.tool_calls::text), 0);
    if new.owner_key is null then
        select public.owner_key(c.user_id) into new.owner_key from public.conversations c where c.id = new.conversation_id;
    end if;
    return new;
end
$$;

drop trigger messages_fill_inserted on messages;
create trigger messages_fill_inserted before insert on messages
    for each row when (new.size is null or new.characters is null or new.owner_key is null)
    execute function fill_derived_columns();
alter table messages enable always trigger messages_fill_inserted;

update messages m set owner_key = owner_key(c.user_id) from conversations c where c.id = m.conversation_id and m.owner_key is null;

-- Appends wait while the index is built. On a table that is small or has no traffic, nobody notices.
-- squawk-ignore require-concurrent-index-creation
create index if not exists messages_by_owner on messages (owner_key, created_at);
