-- Returns no row where the owner has no such conversation, else a first row with what its ETag says. There, `unchanged` says whether the caller
-- has the answer already, because its ETag is one of `known` (null: any). If not, a page of messages follows.
create function get_chat_history(
    conversation uuid, owner text, known text[], after bigint, before bigint, last bigint, newest_first boolean, wanted bigint,
    bytes bigint, retention integer
)
returns table (
    version bigint, abandoned bigint, unchanged boolean, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz, updated_at timestamptz,
    extra text, feedback text
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
begin
    select c.version into version
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention);
    if not found then
        return;
    end if;
    abandoned := abandoned(conversation);
    unchanged := known is null or etag(version, abandoned) = any (known);
    return next;
    if unchanged then
        return;
    end if;

    if last is not null then
        select min(newest.position) - 1 into after
        from (
            select m.position from public.messages m where m.conversation_id = conversation order by m.position desc limit last
        ) newest;
    end if;
    -- A page is one range of an index, read in the order of the answer. The running total cuts it to what a response can hold.
    if newest_first then
        return query
        select version, abandoned, false, page.position, page.id, page.role, page.content, page.content_parts, page.tool_calls, page.tool_call_id,
            page.name, page.metadata, page.token_count, page.status, page.created_at, page.updated_at, page.extra, page.feedback
        from (
            select m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
                m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at) as status, m.created_at, m.updated_at, m.extra::text,
                m.feedback::text,
                sum(message_bytes(m.size, m.feedback)) over (order by m.position desc rows unbounded preceding) - message_bytes(m.size, m.feedback) as bytes_before
            from public.messages m
            where m.conversation_id = conversation and m.position > after and m.position < before
            order by m.position desc
            limit wanted
        ) page
        where page.bytes_before <= bytes
        order by page.position desc;
    else
        return query
        select version, abandoned, false, page.position, page.id, page.role, page.content, page.content_parts, page.tool_calls, page.tool_call_id,
            page.name, page.metadata, page.token_count, page.status, page.created_at, page.updated_at, page.extra, page.feedback
        from (
            select m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
                m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at) as status, m.created_at, m.updated_at, m.extra::text,
                m.feedback::text,
                sum(message_bytes(m.size, m.feedback)) over (order by m.position rows unbounded preceding) - message_bytes(m.size, m.feedback) as bytes_before
            from public.messages m
            where m.conversation_id = conversation and m.position > after and m.position < before
            order by m.position
            limit wanted
        ) page
        where page.bytes_before <= bytes
        order by page.position;
    end if;
end
$$;
