-- A conversation as a list has it. PostgreSQL puts this into the statement that calls it. A message is read only where `with_last` is true.
create function with_newest_message(c public.conversations, with_last boolean) returns setof listed_conversation
language sql stable as $$
    select shown.*, newest.*
    from conversation_row($1, null) shown
        left join lateral (
            select m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
                m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at, m.updated_at,
                m.extra::text
            from public.messages m
            where $2 and m.conversation_id = $1.id
            order by m.position desc
            limit 1
        ) newest on true
$$;
