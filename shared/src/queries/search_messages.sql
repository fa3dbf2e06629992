-- Reads the user's messages from the newest to the oldest, `reads` of them at most, and about `read_bytes` bytes. Returns a first row with
-- nothing but `read_to`: the time of the oldest message that was read, or null if nothing is left behind it. The messages that were found
-- follow. A message is found if all terms of one alternative hold. The collation decides what is a letter, and which letters differ in
-- case alone.
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
-- Rows come from the index in the order of their times. An incremental sort stops at the limit. A sort of all would read all first.
-- The planner expects few rows, and would choose between the two by chance.
set enable_sort = off as $$
#variable_conflict use_variable
declare
    key bigint := public.owner_key(of_user);
begin
    before_time := coalesce(before_time, 'infinity');
    before_id := coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    before_position := coalesce(before_position, 9223372036854775807);
    -- Messages of one time are read together, so that the next request can begin before that time.
    select newest.created_at into read_to
    from (
        select m.created_at, row_number() over newest_first as messages, sum(m.size) over newest_first as bytes
        from public.messages m
        where m.owner_key = key
            and m.created_at <= before_time
            and (m.created_at, m.conversation_id, m.position) < (before_time, before_id, before_position)
        window newest_first as (order by m.created_at desc rows unbounded preceding)
        order by m.created_at desc
        limit reads
    ) newest
    where newest.messages = reads or newest.bytes >= read_bytes
    order by newest.created_at desc
    limit 1;
    return next;

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
                and m.created_at >= coalesce(read_to, '-infinity')
                and m.created_at <= before_time
                and (m.created_at, m.conversation_id, m.position) < (before_time, before_id, before_position)
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
