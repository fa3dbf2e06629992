-- Reads the user's messages from the newest to the oldest, `reads` of them at most, and about `read_bytes` bytes. The first row
-- has nothing but `read_to`, `conversation_id` and `position`. They are the time and the place of the oldest message that was read, or nulls if
-- nothing is left behind it. Messages of one time are ordered by their places, and the index has this order. So forks of a batch cannot make
-- a request read more. The messages that were found follow. A message is found if all terms of one alternative hold. The collation decides what is a
-- letter, and which letters differ in case alone.
create function search_messages(
    of_user text, before_time timestamptz, before_id uuid, before_position bigint, alternatives integer[], patterns text[],
    negated boolean[], wanted bigint, bytes bigint, reads bigint, read_bytes bigint, retention integer
)
returns table (
    read_to timestamptz, conversation_id uuid, title text, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz,
    updated_at timestamptz, extra text
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- Rows come from the index in their order. The planner expects few rows, and might sort all instead, which would read all first.
set enable_sort = off as $$
#variable_conflict use_variable
declare
    key bigint := public.owner_key(of_user);
begin
    before_time := coalesce(before_time, 'infinity');
    before_id := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    before_position := coalesce(before_position, 9223372036854775807);
    select newest.created_at, newest.conversation_id, newest.position into read_to, conversation_id, position
    from (
        select m.created_at, m.conversation_id, m.position, row_number() over newest_first as messages,
            sum(m.size) over newest_first as bytes
        from public.messages m
        where m.owner_key = key and (m.created_at, m.conversation_id, m.position) < (before_time, before_id, before_position)
        window newest_first as (order by m.created_at desc, m.conversation_id desc, m.position desc rows unbounded preceding)
        order by m.created_at desc, m.conversation_id desc, m.position desc
        limit reads
    ) newest
    where newest.messages = reads or newest.bytes >= read_bytes
    order by newest.created_at desc, newest.conversation_id desc, newest.position desc
    limit 1;
    return next;
    read_to := coalesce(read_to, '-infinity');
    conversation_id := coalesce(conversation_id, '00000000-0000-0000-0000-000000000000');
    position := coalesce(position, 0);

    return query
    select read_to, m.conversation_id, hit.title, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text,
        m.tool_call_id, m.name, m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at, m.updated_at,
        m.extra::text
    from (
        -- The running total cuts the page to what a response can hold.
        select found.conversation_id, found.title, found.position, found.created_at, sum(found.size) over newest_first - found.size as bytes_before
        from (
            select m.conversation_id, owned.title, m.position, m.created_at, m.size
            from public.messages m
                -- The owner of what was found. There is a limit so that only these conversations are looked up.
                join lateral (
                    select c.title from public.conversations c
                    where c.id = m.conversation_id and c.user_id = of_user and is_kept(c.expires_at, c.updated_at, retention)
                    limit 1
                ) owned on true
            where m.owner_key = key
                and (m.created_at, m.conversation_id, m.position) < (before_time, before_id, before_position)
                and (m.created_at, m.conversation_id, m.position) >= (read_to, conversation_id, position)
                and num_nonnulls(m.content, m.parts_text) > 0
                and exists (
                    select from unnest(alternatives, patterns, negated) as term (alternative, pattern, negated)
                    group by term.alternative
                    having bool_and((coalesce(m.content, m.parts_text) ~* term.pattern collate public.search_text) <> term.negated)
                )
            order by m.created_at desc, m.conversation_id desc, m.position desc
            limit wanted
        ) found
        window newest_first as (
            order by found.created_at desc, found.conversation_id desc, found.position desc rows unbounded preceding
        )
    ) hit
        join public.messages m on m.conversation_id = hit.conversation_id and m.position = hit.position
    where hit.bytes_before <= bytes
    order by hit.created_at desc, hit.conversation_id desc, hit.position desc;
end
$$;
