with locked as (
    select id, version, last_operation is not distinct from $4 as done, $5::bigint[] is null or version = any($5) as current
    from conversations where id = $1 and ($2::text is null or user_id = $2)
    for update
), message as (
    -- Locked, so that it is what is there now and not what the statement saw before its wait.
    select * from messages where conversation_id = (select id from locked) and id = $3 for update
), touched as (
    update conversations c
    set version = c.version + 1,
        updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
        last_operation = $4
    from locked l, message
    where c.id = l.id and l.current and not l.done and not ($6 and $10 and $12)
    returning c.version, c.updated_at as now
), changed as (
    update messages m
    set content = case when $6 then m.content else $7 end,
        content_parts = case when $6 then m.content_parts else $8::text::json end,
        parts_text = case when $6 then m.parts_text else $9 end,
        tool_calls = case when $10 then m.tool_calls else $11::text::json end,
        metadata = case when $12 then m.metadata else coalesce($13::text, '{}')::json end,
        updated_at = t.now
    from touched t
    where m.conversation_id = $1 and m.id = $3
    returning m.*
), outcome as (
    select true as allowed, changed.* from changed
    union all
    select l.done or l.current, message.* from locked l, message where not exists (select from changed)
)
select o.allowed, coalesce(t.version, l.version), o.position, o.id, o.role, o.content, o.content_parts::text, o.tool_calls::text,
    o.tool_call_id, o.name, o.metadata::text, o.created_at, o.updated_at
from outcome o cross join locked l left join touched t on true
