with input as (
    select *
    from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
        with ordinality as input (id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, ordinal)
), conversation as (
    select id, version from conversations where id = $1 and ($2::text is null or user_id = $2)
), stored as (
    -- Stored by an earlier attempt, if it is the same; taken, if it is not.
    select m.id, m.position, m.created_at, m.updated_at, m.conversation_id = $1
        and (m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text)
            is not distinct from
            (i.role, i.content, i.content_parts, i.tool_calls, i.tool_call_id, i.name, i.metadata) as same
    from input i join messages m on m.id = i.id
), fresh as (
    select *, row_number() over (order by ordinal) as nth from input where id not in (select id from stored)
), target as (
    -- Takes the row's lock, so that writers take turns; what is set here is computed after the wait for it.
    update conversations c
    set next_position = c.next_position + n.messages,
        message_count = c.message_count + n.messages,
        version = c.version + 1,
        updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
    from (select count(*) as messages from fresh) n
    where c.id = (select id from conversation)
        and n.messages > 0
        and not exists (select from stored where not same)
        and ($12::bigint[] is null or c.version = any($12))
    returning c.next_position - n.messages - 1 as base, c.updated_at as now, c.version
), added as (
    insert into messages
        (conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, created_at,
            updated_at)
    select $1, t.base + f.nth, f.id, f.role, f.content, f.content_parts::json, f.parts_text, f.tool_calls::json, f.tool_call_id,
        f.name, f.metadata::json, t.now, t.now
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
