-- Deletes a message. The others keep their positions. Returns no row where the owner has no such message. `outcome` is precondition where
-- the version is none of `if_match`, and reused where another request had this operation. It is repeated where the request was done
-- before. Then the version is what it was behind it.
create function delete_message(
    conversation uuid, owner text, message uuid, operation uuid, request integer, if_match bigint[], retention integer
)
returns table (outcome text, version bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    deleted bigint;
    done record;
begin
    -- Writers to a conversation take turns from here on.
    select c.version into version
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;
    select r.outcome, r.version into done from recall(conversation, operation, request) r;
    if done.outcome is not null then
        outcome := done.outcome;
        version := case when outcome = 'repeated' then done.version else version end;
        return next;
        return;
    end if;
    select m.position into deleted from public.messages m where m.conversation_id = conversation and m.id = message;
    if not found then
        return;
    end if;

    if not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        delete from public.messages m where m.conversation_id = conversation and m.position = deleted;
        update public.conversations c
        set message_count = c.message_count - 1,
            version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
        where c.id = conversation
        returning c.version into version;
        perform change_messages(conversation, deleted, version);
        perform remember(conversation, operation, request, version, null);
    end if;
    return next;
end
$$;
