-- Returns no row where the owner has no such message. `unchanged` says whether the caller has the answer already, because its ETag is one of
-- `known` (null: any). Then the row has no content, calls and metadata, because a reader of a reply that is being written looks several
-- times a second. With `behind`, the content is what comes after that many characters.
create function get_message(
    conversation uuid, owner text, message uuid, known text[], behind bigint, retention integer
)
returns table (
    version bigint, abandoned bigint, unchanged boolean, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz,
    updated_at timestamptz, extra text, feedback text
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select c.version, shown.abandoned, known_to.caller, m.position, m.id, m.role,
        case
            when known_to.caller then null
            when behind is null then m.content
            else substr(m.content, least(behind, 2147483646)::integer + 1)
        end,
        case when not known_to.caller then m.content_parts::text end, case when not known_to.caller then m.tool_calls::text end,
        m.tool_call_id, m.name, case when not known_to.caller then m.metadata::text end, m.token_count, shown.status, m.created_at,
        m.updated_at, m.extra::text, m.feedback::text
    from public.conversations c
        join public.messages m on m.conversation_id = c.id
        cross join lateral (
            select stored.status, case when stored.status = 'incomplete' then hashint8extended(m.position, 0) else 0 end as abandoned
            from (select message_status(m.in_progress, m.alive_at, m.updated_at) as status) stored
        ) shown
        cross join lateral (select known is null or etag(c.version, shown.abandoned) = any (known) as caller) known_to
    where c.id = conversation and is_visible(c, owner, retention)
        and m.conversation_id = conversation and m.id = message;
    if not found then
        -- It may be kept beside the line.
        return query
        select c.version, shown.abandoned, known_to.caller, m.position, m.id, m.role,
            case
                when known_to.caller then null
                when behind is null then m.content
                else substr(m.content, least(behind, 2147483646)::integer + 1)
            end,
            case when not known_to.caller then m.content_parts::text end, case when not known_to.caller then m.tool_calls::text end,
            m.tool_call_id, m.name, case when not known_to.caller then m.metadata::text end, m.token_count, shown.status, m.created_at,
            m.updated_at, m.extra::text, m.feedback::text
        from public.conversations c
            cross join kept_among(conversation, array[message]) m
            cross join lateral (
                select stored.status, case when stored.status = 'incomplete' then hashint8extended(m.position, 0) else 0 end as abandoned
                from (select message_status(m.in_progress, m.alive_at, m.updated_at) as status) stored
            ) shown
            cross join lateral (select known is null or etag(c.version, shown.abandoned) = any (known) as caller) known_to
        where c.id = conversation and is_visible(c, owner, retention) and c.kept_count > 0;
    end if;
end
$$;

-- Reads a message as `get_message` does, with the ids of its versions: the messages that follow the same message, oldest first.
create function get_message_versions(
    conversation uuid, owner text, message uuid, known text[], behind bigint, retention integer
)
returns table (
    version bigint, abandoned bigint, unchanged boolean, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz,
    updated_at timestamptz, extra text, feedback text, versions uuid[]
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    return query
    select read.*, versions_behind(conversation, place.parent_position)
    from get_message(conversation, owner, message, known, behind, retention) read
        cross join place_of(conversation, message) place;
end
$$;
