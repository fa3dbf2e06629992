-- The id of the copy of a message, fixed by the fork and the position, so that a retry gives the same id. It begins as the fork's id does:
-- the copies of one fork are neighbours in the index of ids. A UUID of version 8 says that the rest is no random number and no time.
create function copied_message_id(fork uuid, "position" bigint) returns uuid
language sql immutable parallel safe as $$
    select encode(set_byte(set_byte(id.bytes, 6, get_byte(id.bytes, 6) & 15 | 128), 8, get_byte(id.bytes, 8) & 63 | 128), 'hex')::uuid
    from (select substr(uuid_send($1), 1, 6) || substr(sha256(uuid_send($1) || int8send($2)), 1, 10) as bytes) id
$$;

-- Copies the line of a conversation up to the position `at`; null: up to its newest message. A fork with the id `new_id` that an earlier request made
-- of the same source is returned as it is now, and `outcome` is null.
--
-- Returns no row where the owner has no such source. `outcome` is created where this call made the fork, and conflict where the id is taken
-- otherwise. It is beyond where `at` is behind the newest message, whose position is `nearest`. It is large where there is more to copy than
-- `most_messages` or `most_bytes`; then `nearest` is the position of the last message that a fork could copy.
create function fork_conversation(
    source uuid, owner text, new_id uuid, at bigint, new_title text, new_metadata text, most_messages bigint, most_bytes bigint,
    retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    refused conversation_row;
    of_user text;
    forked_position bigint;
    is_made boolean;
    is_taken boolean;
    last bigint;
    copied bigint;
begin
    loop
        -- An earlier attempt of this request counts, whatever has become of the source since.
        select is_visible(c, owner, retention) and c.forked_from = source and (at is null or c.forked_position = at) into is_made
        from public.conversations c
        where c.id = new_id and is_kept(c.expires_at, c.updated_at, retention);
        is_taken := found;
        if is_made then
            return query
            select shown.* from public.conversations c, conversation_row(c, null) shown where c.id = new_id;
            return;
        end if;

        -- An erasure or a transfer of the user waits for this fork and then finds it. Otherwise a copy could outlive what was erased.
        select c.user_id into of_user from public.conversations c where c.id = source and (owner is null or c.user_id = owner);
        perform pg_advisory_xact_lock_shared(hashtextextended('scrollback erasure ' || of_user, 0));
        -- Writers to the source wait from here on, so that all of it is copied as it is at one moment.
        perform from public.conversations c
        where c.id = source and c.user_id = of_user and is_kept(c.expires_at, c.updated_at, retention)
        for share;
        if not found then
            -- If a transfer has made it another user's, it is looked for again.
            continue when exists (
                select from public.conversations c
                where c.id = source and c.user_id <> of_user and (owner is null or c.user_id = owner)
            );
            return;
        end if;
        if is_taken then
            refused.outcome := 'conflict';
            return next refused;
            return;
        end if;

        select m.position into last
        from public.messages m
        where m.conversation_id = source
        order by m.position desc limit 1;
        forked_position := coalesce(at, last, 0);
        if forked_position > coalesce(last, 0) then
            refused.outcome := 'beyond';
            refused.nearest := last;
            return next refused;
            return;
        end if;
        -- Reads no more than one message too many.
        select count(*), max(part.position) filter (where part.number <= most_messages and part.bytes <= most_bytes)
        into copied, last
        from (
            select m.position, row_number() over in_order as number, sum(message_bytes(m.size, m.feedback)) over in_order as bytes
            from public.messages m
            where m.conversation_id = source and m.position <= forked_position
            window in_order as (order by m.position rows unbounded preceding)
            order by m.position limit most_messages + 1
        ) part;
        if exists (
            select from public.messages m
            where m.conversation_id = source and m.position > coalesce(last, 0) and m.position <= forked_position
        ) then
            refused.outcome := 'large';
            refused.nearest := last;
            return next refused;
            return;
        end if;

        -- What has expired counts as deleted, so its id is free.
        delete from public.conversations c where c.id = new_id and not is_kept(c.expires_at, c.updated_at, retention);
        -- A purge may have begun to delete it.
        delete from public.erased_conversations e where e.id = new_id and e.erased_at is null;
        if found then
            delete from public.messages m where m.conversation_id = new_id;
        end if;
        insert into public.conversations (
            id, user_id, title, metadata, message_count, next_position, characters_appended, tokens_appended, last_message_at,
            summary_through, summary_created_at, expires_at, forked_from, forked_position
        )
        select new_id, c.user_id, coalesce(new_title, c.title), coalesce(new_metadata::json, c.metadata), copied, forked_position + 1,
            case when following.position is null then c.characters_appended else following.characters_before end,
            case when following.position is null then c.tokens_appended else following.tokens_before end,
            newest.created_at, summary.through, summary.created_at, c.expires_at, source, forked_position
        from public.conversations c
            left join lateral (
                select m.created_at from public.messages m
                where m.conversation_id = source and m.position <= forked_position
                order by m.position desc limit 1
            ) newest on true
            left join lateral (
                select m.position, m.characters_before, m.tokens_before from public.messages m
                where m.conversation_id = source and m.position > forked_position
                order by m.position limit 1
            ) following on true
            left join lateral (
                select s.through, s.created_at from public.summaries s
                where s.conversation_id = source and s.through <= forked_position and not exists (
                    select from public.kept_messages k where k.conversation_id = source and k.position = s.through
                )
                order by s.through desc limit 1
            ) summary on true
        where c.id = source
        on conflict on constraint conversations_pkey do nothing;
        exit when found;
        -- Another request has made a conversation with this id meanwhile.
    end loop;

    insert into public.messages (
        conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra, feedback, token_count,
        in_progress, alive_at, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key, appended_version,
        media_bytes, media_tokens
    )
    select new_id, m.position, copied_message_id(new_id, m.position), m.role, m.content, m.content_parts, m.parts_text, m.tool_calls,
        m.tool_call_id, m.name, m.metadata, m.extra, m.feedback, m.token_count, m.in_progress, m.alive_at, m.characters_before, m.tokens_before,
        m.created_at, m.updated_at, m.size, m.characters, m.owner_key, 1, m.media_bytes, m.media_tokens
    from public.messages m
    where m.conversation_id = source and m.position <= forked_position
    -- Cuts nothing: there is a limit so that the planner reads in order.
    order by m.position limit most_messages;
    insert into public.summaries (conversation_id, through, content, token_count, messages, created_at)
    select new_id, s.through, s.content, s.token_count, s.messages, s.created_at
    from public.summaries s
    where s.conversation_id = source and s.through <= forked_position and not exists (
        select from public.kept_messages k where k.conversation_id = source and k.position = s.through
    );
    return query
    select shown.* from public.conversations c, conversation_row(c, 'created') shown where c.id = new_id;
end
$$;
