-- Deletes a message. The others keep their positions. Returns no row where the owner has no such message. `allowed` is false where the
-- version is none of `if_match`.
create function delete_message(conversation uuid, owner text, message uuid, operation uuid, if_match bigint[], retention integer)
returns table (allowed boolean, version bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
    deleted bigint;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation into version, done
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner) and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;
    select m.position into deleted from public.messages m where m.conversation_id = conversation and m.id = message;
    if deleted is null and not done then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done then
        delete from public.messages m where m.conversation_id = conversation and m.position = deleted;
        update public.conversations c
        set message_count = c.message_count - 1,
            version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
            last_operation = operation
        where c.id = conversation
        returning c.version into version;
        perform change_messages(conversation, deleted, version);
    end if;
    return next;
end
$$;
