-- A user with a long history is erased in steps, and nothing of the user can be read from the first one on. The first step moves the rows
-- of the user's conversations to this table. Every stored function finds messages through the row of their conversation, so none finds
-- these, and nobody has to remember a condition. The following steps delete the messages.

create table erased_conversations (
    id uuid primary key,
    user_id text collate "C" not null,
    -- How many messages are left.
    messages bigint not null
);
create index erased_conversations_by_user on erased_conversations (user_id);

-- Messages stay for some steps when the row of their conversation is gone, so there is no foreign key any more. Two things replace it:
-- 1. Whoever stores messages locks the row of their conversation first.
-- 2. A conversation that is deleted, and not moved here, takes its messages with it.
-- It also saves an append the check of the key, which is one look-up for each message.
-- squawk-ignore ban-drop-constraint
alter table messages drop constraint if exists messages_conversation_id_fkey;

-- `enable_seqscan`, here and below: the table is empty most of the time, and a plan that was made then is kept. It must not read the whole
-- table when the table is large.
create function delete_messages() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    if not exists (select from public.erased_conversations e where e.id = old.id) then
        delete from public.messages m where m.conversation_id = old.id;
    end if;
    return null;
end
$$;
revoke execute on function delete_messages() from public;
create trigger conversations_delete_messages after delete on conversations
    for each row execute function delete_messages();
alter table conversations enable always trigger conversations_delete_messages;

-- An id is taken until its conversation is erased completely. Otherwise the new conversation would show the messages of the old one.
-- `after`, so that this looks when an erasure that held the id has been committed.
create function refuse_erased_id() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
    if exists (select from public.erased_conversations e where e.id = new.id) then
        raise unique_violation using
            message = 'the conversation with this id is being erased',
            constraint = 'erased_conversations_pkey';
    end if;
    return null;
end
$$;
revoke execute on function refuse_erased_id() from public;
create trigger conversations_refuse_erased_id after insert on conversations
    for each row execute function refuse_erased_id();
