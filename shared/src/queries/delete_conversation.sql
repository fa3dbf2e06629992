-- Returns no row where the owner has no such conversation. `allowed` is false where the version is none of `if_match`.
create function delete_conversation(conversation uuid, owner text, if_match bigint[], retention integer)
returns table (allowed boolean)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    -- Writers to a conversation take turns from here on.
    select if_match is null or c.version = any (if_match) into allowed
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
        and is_kept(c.expires_at, c.updated_at, retention)
    for update;
    if not found then
        return;
    end if;

    if allowed then
        -- A trigger deletes the messages.
        delete from public.conversations c where c.id = conversation;
    end if;
    return next;
end
$$;
