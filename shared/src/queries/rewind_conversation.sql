-- Deletes the messages from a position on. Their positions are not used again, because `next_position` stays.
-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function rewind_conversation(conversation uuid, owner text, operation uuid, if_match bigint[], first bigint, retention integer)
returns table (allowed boolean, version bigint, deleted bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.last_deleted into version, done, deleted
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
        and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;

    allowed := done or if_match is null or version = any (if_match);
    if allowed and not done then
        delete from public.messages m where m.conversation_id = conversation and m.position >= first;
        get diagnostics deleted = row_count;
        if deleted > 0 then
            update public.conversations c
            set message_count = c.message_count - deleted,
                version = c.version + 1,
                updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
                last_operation = operation,
                last_deleted = deleted
            where c.id = conversation
            returning c.version into version;
            perform change_messages(conversation, first, version);
        end if;
    end if;
    return next;
end
$$;
