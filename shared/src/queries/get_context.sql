with recursive conversation as (
    select id as conversation, version, message_count, version <> all ($6) as wanted
    from conversations
    where id = $1 and ($2::text is null or user_id = $2)
), first_other as (
    -- Where the leading instructions end.
    select coalesce(min(position), 9223372036854775807) as position
    from (
        select position from messages
        where conversation_id = (select conversation from conversation) and role not in ('system', 'developer')
        order by position limit 1
    ) first
), suffix (position, messages, characters, size) as (
    -- Back from the end, a hundred messages at a time, until a limit is passed: what lies before is not read.
    select 9223372036854775807, 0::bigint, 0::bigint, 0::bigint
    from conversation
    where wanted
    union all
    select chunk.position, suffix.messages + chunk.messages, suffix.characters + chunk.characters, suffix.size + chunk.size
    from suffix
        cross join lateral (
            select min(position) as position, count(*) as messages, sum(characters) as characters, sum(size) as size
            from (
                select position, characters, size from messages
                where conversation_id = $1 and position < suffix.position
                order by position desc limit least(100, $3 - suffix.messages)
            ) before
        ) chunk
    where suffix.messages < $3 and suffix.characters <= $4 and suffix.size <= $5 and chunk.position is not null
), start as (
    select min(position) as position from suffix
)
select c.version, c.message_count, part.kind, part.position, part.id, part.role, part.content, part.content_parts::text,
    part.tool_calls::text, part.tool_call_id, part.name, part.metadata::text, part.created_at, part.updated_at
from conversation c
    left join lateral (
        select 0 as kind, pinned.*
        from (
            select m.*, sum(size) over (order by position rows unbounded preceding) - size as bytes_before, 0 as characters_before
            from (
                select * from messages
                where c.wanted and conversation_id = c.conversation and position < (select position from first_other)
                -- Neither this limit nor the one below cuts anything. They make the planner read in order, as in get_chat_history.
                order by position limit (select $5)
            ) m
        ) pinned
        where bytes_before <= $5
        union all
        select 1, question.*
        from (
            select *, 0, 0 from messages
            -- Anthropic's results come as parts of a user's message, which then is no question.
            where c.wanted and conversation_id = c.conversation and role = 'user'
                and (content is not null or content_parts::text not like '%"tool_result"%')
            order by position desc limit 1
        ) question
        union all
        select 2, newest.*
        from (
            select m.*, sum(size) over (order by position desc rows unbounded preceding) - size as bytes_before,
                sum(characters) over (order by position desc rows unbounded preceding) - characters as characters_before
            from (
                select * from messages
                where c.wanted
                    and conversation_id = c.conversation
                    and position >= greatest((select position from start), (select position from first_other))
                order by position desc limit (select $3)
            ) m
        ) newest
        where bytes_before <= $5 and characters_before <= $4
    ) part on true
