with locked as (
    select id, version, last_deleted, last_operation is not distinct from $3 as done,
        $4::bigint[] is null or version = any($4) as current
    from conversations where id = $1 and ($2::text is null or user_id = $2)
    for update
), deleted as (
    delete from messages where conversation_id = (select id from locked where current and not done) and position >= $5
    returning 1
), touched as (
    update conversations c
    set message_count = c.message_count - d.messages,
        version = c.version + 1,
        updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
        last_operation = $3,
        last_deleted = d.messages
    from (select count(*) as messages from deleted) d
    where c.id = $1 and d.messages > 0
    returning c.version, d.messages
)
select l.done or l.current, coalesce(t.version, l.version), coalesce(t.messages, case when l.done then l.last_deleted end, 0)
from locked l left join touched t on true
