-- Reads the messages of the user's own conversations. A message is found if all terms of one alternative hold.
create function search_messages(
    of_user text, before_time timestamptz, before_id uuid, before_position bigint, alternatives integer[], patterns text[],
    negated boolean[], wanted bigint, bytes bigint
)
returns table (
    conversation_id uuid, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text,
    name text, metadata text, token_count integer, created_at timestamptz, updated_at timestamptz
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select m.conversation_id, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
        m.metadata::text, m.token_count, m.created_at, m.updated_at
    from (
        -- The running total cuts the page to what a response can hold.
        select found.conversation_id, found.position, found.created_at, sum(found.size) over newest_first - found.size as bytes_before
        from (
            select m.conversation_id, m.position, m.created_at, m.size
            from public.conversations c join public.messages m on m.conversation_id = c.id
            where c.user_id = of_user
                and (m.created_at, m.conversation_id, m.position) < (
                    coalesce(before_time, 'infinity'),
                    coalesce(before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'),
                    coalesce(before_position, 9223372036854775807)
                )
                and num_nonnulls(m.content, m.parts_text) > 0
                and exists (
                    select from unnest(alternatives, patterns, negated) as term (alternative, pattern, negated)
                    group by term.alternative
                    having bool_and((coalesce(m.content, m.parts_text) ~* term.pattern) <> term.negated)
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
