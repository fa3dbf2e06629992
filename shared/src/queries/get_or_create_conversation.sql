-- Finds the user's most recently updated conversation, or the one with the id where `exactly` is true. Creates it where there is none:
-- then `outcome` is created. Returns no row where the id is another user's.
create function get_or_create_conversation(
    new_id uuid, of_user text, new_title text, new_metadata text, exactly boolean, expires_in bigint, retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `erased_conversations` is empty most of the time. A plan that was made then is kept, and must not read the whole table later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    found_id uuid;
    is_new boolean;
    expires_at timestamptz := now() + make_interval(secs => expires_in);
begin
    if exactly then
        return query
        select shown.*
        from public.conversations c, conversation_row(c, null) shown
        where c.id = new_id and c.user_id = of_user and is_kept(c.expires_at, c.updated_at, retention);
    else
        return query
        -- A new id that is there already was stored by this request's first attempt.
        select shown.*
        from (
            select c from public.conversations c
            where c.user_id = of_user and c.archived_at is null and is_kept(c.expires_at, c.updated_at, retention)
            order by c.updated_at desc, c.id desc limit 1
        ) newest, conversation_row(newest.c, case when (newest.c).id = new_id then 'created' end) shown;
    end if;
    if found then
        return;
    end if;

    -- Where another call creates the conversation at this moment, the insert waits for it. The update changes nothing, but returns the
    -- row of that other call.
    if exactly then
        -- What has expired counts as deleted, so its id is free.
        delete from public.conversations c where c.id = new_id and not is_kept(c.expires_at, c.updated_at, retention);
        -- A purge may have begun to delete it.
        delete from public.erased_conversations e where e.id = new_id and e.erased_at is null;
        if found then
            delete from public.messages m where m.conversation_id = new_id;
        end if;
        insert into public.conversations as c (id, user_id, title, metadata, expires_at)
        values (new_id, of_user, new_title, new_metadata::json, expires_at)
        on conflict on constraint conversations_pkey do update set user_id = excluded.user_id where c.user_id = excluded.user_id
        -- Only a row that was inserted has the xmax 0.
        returning c.id, c.xmax = 0 into found_id, is_new;
    else
        -- A conversation that is archived or has expired is not the first one any more. Calls that run at once take turns here, too.
        update public.conversations c set is_first = false
        where c.user_id = of_user and c.is_first
            and (c.archived_at is not null or not is_kept(c.expires_at, c.updated_at, retention));
        insert into public.conversations as c (id, user_id, title, metadata, is_first, expires_at)
        values (new_id, of_user, new_title, new_metadata::json, true, expires_at)
        on conflict (user_id) where is_first do update set user_id = excluded.user_id
        returning c.id, c.id = new_id into found_id, is_new;
    end if;
    return query
    select shown.*
    from public.conversations c, conversation_row(c, case when is_new then 'created' end) shown
    where c.id = found_id;
end
$$;
