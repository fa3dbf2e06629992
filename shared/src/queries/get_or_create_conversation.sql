-- Finds the user's most recently updated conversation, or the one with the id where `exactly` is true. Creates it where there is none.
-- Returns no row where the id is another user's.
create function get_or_create_conversation(new_id uuid, of_user text, new_title text, new_metadata text, exactly boolean)
returns table (
    created boolean, id uuid, owner text, title text, metadata text, message_count bigint, created_at timestamptz,
    updated_at timestamptz, version bigint, summary_through bigint, summary_created_at timestamptz
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    -- A new id that is there already was stored by this request's first attempt.
    select not exactly and c.id = new_id, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at,
        c.version, c.summary_through, c.summary_created_at
    from public.conversations c
    where c.user_id = of_user and c.id = case when exactly then new_id else (
        select newest.id from public.conversations newest where newest.user_id = of_user
        order by newest.updated_at desc, newest.id desc limit 1
    ) end;
    if found then
        return;
    end if;

    -- Where another call creates the conversation at this moment, the insert waits for it. The update changes nothing, but returns the
    -- row of that other call.
    if exactly then
        return query
        insert into public.conversations as c (id, user_id, title, metadata) values (new_id, of_user, new_title, new_metadata::json)
        on conflict on constraint conversations_pkey do update set user_id = excluded.user_id where c.user_id = excluded.user_id
        -- Only a row that was inserted has the xmax 0.
        returning c.xmax = 0, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
            c.summary_through, c.summary_created_at;
    else
        return query
        insert into public.conversations as c (id, user_id, title, metadata, is_first)
        values (new_id, of_user, new_title, new_metadata::json, true)
        on conflict (user_id) where is_first do update set user_id = excluded.user_id
        returning c.id = new_id, c.id, c.user_id, c.title, c.metadata::text, c.message_count, c.created_at, c.updated_at, c.version,
            c.summary_through, c.summary_created_at;
    end if;
end
$$;
