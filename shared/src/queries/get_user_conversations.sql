-- A conversation of a list, and its newest message where the caller asks for it. A row with the `outcome` unread says how far the request
-- has read. Its `id` is that of the last conversation, and its `updated_at` is the time in the order of the list.
create type listed_conversation as (
    outcome text, nearest bigint, version bigint, id uuid, user_id text, title text, metadata text, message_count bigint,
    created_at timestamptz, updated_at timestamptz, summary_through bigint, summary_created_at timestamptz, last_message_at timestamptz,
    archived_at timestamptz, pinned_at timestamptz, expires_at timestamptz, forked_from uuid, forked_position bigint, kept_count bigint,
    last_position bigint, last_id uuid, last_role text, last_content text, last_content_parts text, last_tool_calls text,
    last_tool_call_id text, last_name text, last_metadata text, last_token_count integer, last_status text, last_created_at timestamptz,
    last_updated_at timestamptz, last_extra text, last_feedback text
);

-- Whether the members with these keys have these values, as text.
create function has_members(metadata json, keys text[], vals text[]) returns boolean
language plpgsql immutable as $$
begin
    for member in 1 .. cardinality(keys) loop
        if (metadata ->> keys[member]) is distinct from vals[member] then
            return false;
        end if;
    end loop;
    return true;
end
$$;

-- Whether a conversation is one that a list is to have. Null: any. `title_part` is a regular expression.
create function is_wanted(
    title text, metadata json, archived_at timestamptz, pinned_at timestamptz, title_part text, keys text[], vals text[],
    archived boolean, pinned boolean
)
returns boolean
language sql stable as $$
    select ($8 is null or ($3 is not null) = $8)
        and ($9 is null or ($4 is not null) = $9)
        and ($5 is null or $1 ~* $5 collate public.search_text)
        and ($6 is null or has_members($2, $6, $7))
$$;

-- Without a filter, a page is one range of an index, and `reads` is null. With one, the request reads `reads` conversations at most. If it
-- then has fewer than are wanted, and may have left some unread, a last row says how far it has read. With `ids` it reads only those, and
-- `reads` is null, too.
create function get_user_conversations(
    of_user text, by_activity boolean, before_time timestamptz, before_id uuid, ids uuid[], title_part text, keys text[], vals text[],
    archived boolean, pinned boolean, with_last boolean, wanted bigint, bytes bigint, reads bigint, retention integer
)
returns setof listed_conversation
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- The index has the order of the list. The planner expects few rows, and would choose by chance between reading in order and sorting.
set enable_bitmapscan = off as $$
#variable_conflict use_variable
declare
    found_ids uuid[];
    unread listed_conversation;
begin
    before_time := coalesce(before_time, 'infinity');
    before_id := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');

    if ids is null and reads is null and not with_last then
        if by_activity then
            return query
            select shown.*, null::bigint, null::uuid, null::text, null::text, null::text, null::text, null::text, null::text, null::text,
                null::integer, null::text, null::timestamptz, null::timestamptz, null::text, null::text
            from (
                select c as row, coalesce(c.last_message_at, c.created_at) as time, c.id,
                    -- The running total cuts the page to what a response can hold.
                    sum(octet_length(c.metadata::text)) over newest_first - octet_length(c.metadata::text) as bytes_before
                from public.conversations c
                where c.user_id = of_user
                    and is_kept(c.expires_at, c.updated_at, retention)
                    and (coalesce(c.last_message_at, c.created_at), c.id) < (before_time, before_id)
                window newest_first as (
                    order by coalesce(c.last_message_at, c.created_at) desc, c.id desc rows unbounded preceding
                )
                order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
                limit wanted
            ) page, conversation_row(page.row, null) shown
            where page.bytes_before <= bytes
            order by page.time desc, page.id desc;
        else
            return query
            select shown.*, null::bigint, null::uuid, null::text, null::text, null::text, null::text, null::text, null::text, null::text,
                null::integer, null::text, null::timestamptz, null::timestamptz, null::text, null::text
            from (
                select c as row, c.updated_at as time, c.id,
                    sum(octet_length(c.metadata::text)) over newest_first - octet_length(c.metadata::text) as bytes_before
                from public.conversations c
                where c.user_id = of_user
                    and is_kept(c.expires_at, c.updated_at, retention)
                    and (c.updated_at, c.id) < (before_time, before_id)
                window newest_first as (order by c.updated_at desc, c.id desc rows unbounded preceding)
                order by c.updated_at desc, c.id desc
                limit wanted
            ) page, conversation_row(page.row, null) shown
            where page.bytes_before <= bytes
            order by page.time desc, page.id desc;
        end if;
        return;
    end if;

    -- What is read has few columns, so that a conversation that is not wanted costs little. What was found is read again as a whole.
    if ids is not null then
        select array_agg(named.id) into found_ids
        from (
            select c.id, c.user_id, c.title, c.metadata, c.archived_at, c.pinned_at, c.expires_at, c.updated_at,
                case when by_activity then coalesce(c.last_message_at, c.created_at) else c.updated_at end as time
            from public.conversations c
            where c.id = any (ids)
            -- So that these are looked up by their ids, and not among all of the user's.
            offset 0
        ) named
        where named.user_id = of_user
            and (named.time, named.id) < (before_time, before_id)
            and is_kept(named.expires_at, named.updated_at, retention)
            and is_wanted(named.title, named.metadata, named.archived_at, named.pinned_at, title_part, keys, vals, archived, pinned);
    elsif by_activity then
        select array_agg(hit.id) into found_ids
        from (
            select newest.id
            from (
                select c.id, c.title, c.metadata, c.archived_at, c.pinned_at, c.expires_at, c.updated_at
                from public.conversations c
                where c.user_id = of_user and (coalesce(c.last_message_at, c.created_at), c.id) < (before_time, before_id)
                order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
                limit reads
            ) newest
            where is_kept(newest.expires_at, newest.updated_at, retention)
                and is_wanted(newest.title, newest.metadata, newest.archived_at, newest.pinned_at, title_part, keys, vals, archived, pinned)
            limit wanted
        ) hit;
    else
        select array_agg(hit.id) into found_ids
        from (
            select newest.id
            from (
                select c.id, c.title, c.metadata, c.archived_at, c.pinned_at, c.expires_at, c.updated_at
                from public.conversations c
                where c.user_id = of_user and (c.updated_at, c.id) < (before_time, before_id)
                order by c.updated_at desc, c.id desc
                limit reads
            ) newest
            where is_kept(newest.expires_at, newest.updated_at, retention)
                and is_wanted(newest.title, newest.metadata, newest.archived_at, newest.pinned_at, title_part, keys, vals, archived, pinned)
            limit wanted
        ) hit;
    end if;

    return query
    select listed.*
    from (
        select c as row, ordered.time, c.id,
            sum(octet_length(c.metadata::text) + coalesce(newest.size, 0)) over newest_first
                - octet_length(c.metadata::text) - coalesce(newest.size, 0) as bytes_before
        from public.conversations c
            cross join lateral (
                select case when by_activity then coalesce(c.last_message_at, c.created_at) else c.updated_at end as time
            ) ordered
            left join lateral (
                select m.size from public.messages m
                where with_last and m.conversation_id = c.id
                order by m.position desc
                limit 1
            ) newest on true
        where c.id = any (found_ids)
        window newest_first as (order by ordered.time desc, c.id desc rows unbounded preceding)
        order by ordered.time desc, c.id desc
        limit wanted
    ) page, with_newest_message(page.row, with_last) listed
    where page.bytes_before <= bytes
    order by page.time desc, page.id desc;

    if reads is not null and coalesce(cardinality(found_ids), 0) < wanted then
        if by_activity then
            select coalesce(c.last_message_at, c.created_at), c.id into unread.updated_at, unread.id
            from public.conversations c
            where c.user_id = of_user and (coalesce(c.last_message_at, c.created_at), c.id) < (before_time, before_id)
            order by coalesce(c.last_message_at, c.created_at) desc, c.id desc
            offset reads - 1
            limit 1;
        else
            select c.updated_at, c.id into unread.updated_at, unread.id
            from public.conversations c
            where c.user_id = of_user and (c.updated_at, c.id) < (before_time, before_id)
            order by c.updated_at desc, c.id desc
            offset reads - 1
            limit 1;
        end if;
        if unread.id is not null then
            unread.outcome := 'unread';
            return next unread;
        end if;
    end if;
end
$$;
