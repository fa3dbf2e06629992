-- The work of the stored function add_message as one inline statement, as the release before stored functions did it. It can lose races that
-- the function wins, so it is for measuring only. Its parameters are those of the function.
with input as (
    select *
    from unnest($4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[],
            $13::text[], $14::integer[], $15::boolean[], $16::bigint[], $17::bigint[])
        with ordinality as input (id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra, token_count,
            in_progress, characters, tokens, ordinal)
), conversation as (
    select id, version, public.owner_key(user_id) as owner_key
    from public.conversations where id = $1 and ($2::text is null or user_id = $2)
), stored as (
    select m.id, m.position, m.created_at, m.updated_at,
        (m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text, m.extra::text,
            m.token_count)
            is not distinct from
            (i.role, i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata, i.extra, i.token_count) as same
    from input i join public.messages m on m.id = i.id and m.conversation_id = $1
), fresh as (
    select *, row_number() over in_order as nth, sum(characters) over in_order - characters as characters_before,
        sum(tokens) over in_order - tokens as tokens_before
    from input
    where id not in (select id from stored)
    window in_order as (order by ordinal rows unbounded preceding)
), target as (
    update public.conversations c
    set next_position = c.next_position + n.messages,
        message_count = c.message_count + n.messages,
        characters_appended = coalesce(c.characters_appended, 0) + n.characters,
        tokens_appended = coalesce(c.tokens_appended, 0) + n.tokens,
        version = c.version + 1,
        updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
        last_message_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
    from (select count(*) as messages, sum(characters) as characters, sum(tokens) as tokens from fresh) n
    where c.id = (select id from conversation)
        and n.messages > 0
        and not exists (select from stored where not same)
        and ($3::bigint[] is null or c.version = any($3))
    returning c.next_position - n.messages - 1 as base, c.characters_appended - n.characters as characters_base,
        c.tokens_appended - n.tokens as tokens_base, c.updated_at as now, c.version
), added as (
    insert into public.messages
        (conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra,
            token_count, in_progress, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key)
    select $1, t.base + f.nth, f.id, f.role, f.content, f.content_parts::json, f.parts_text, f.tool_calls::json, f.tool_call_id,
        f.name, f.metadata::json, f.extra::json, f.token_count, f.in_progress, t.characters_base + f.characters_before,
        t.tokens_base + f.tokens_before, t.now, t.now,
        coalesce(octet_length(f.content), 0) + coalesce(octet_length(f.content_parts), 0) + coalesce(octet_length(f.tool_calls), 0)
            + coalesce(octet_length(f.tool_call_id), 0) + coalesce(octet_length(f.name), 0) + octet_length(f.metadata)
            + coalesce(octet_length(f.extra), 0),
        f.characters, (select owner_key from conversation)
    from target t, fresh f
    returning id, position, created_at, updated_at
)
select c.version, t.version, s.same, coalesce(a.position, s.position), coalesce(a.created_at, s.created_at),
    coalesce(a.updated_at, s.updated_at)
from conversation c
    cross join input i
    left join target t on true
    left join added a on a.id = i.id
    left join stored s on s.id = i.id
order by i.ordinal
