-- Returns no row where the owner has no such message. `unchanged` says whether the caller has the answer already, because the conversation's
-- version is one of `known` (null: any). With `behind`, the content is what comes after that many characters.
create function get_message(
    conversation uuid, owner text, message uuid, known bigint[], behind bigint, retention integer
)
returns table (
    version bigint, unchanged boolean, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text,
    tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz, updated_at timestamptz,
    extra text
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select c.version,
        -- A reply that has lost its writer changes with time alone, which moves no version.
        (known is null or c.version = any (known)) and shown.status is distinct from 'incomplete',
        m.position, m.id, m.role, case when behind is null then m.content else substr(m.content, least(behind, 2147483646)::integer + 1) end,
        m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name, m.metadata::text, m.token_count, shown.status, m.created_at,
        m.updated_at, m.extra::text
    from public.conversations c
        join public.messages m on m.conversation_id = c.id
        cross join lateral (select message_status(m.in_progress, m.updated_at) as status) shown
    where c.id = conversation and (owner is null or c.user_id = owner) and is_kept(c.expires_at, c.updated_at, retention)
        and m.conversation_id = conversation and m.id = message;
end
$$;
