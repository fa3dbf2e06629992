-- Returns no row where the owner has no such message. `allowed` is false where the conversation's version is none of `if_match`. `writable`
-- is false where `roles` does not have the message's role. Then only metadata may change. Without `roles`, every role may be written.
create function update_message(
    conversation uuid, owner text, roles text[], message uuid, operation uuid, if_match bigint[], keep_content boolean, new_content text,
    new_parts text, new_parts_text text, keep_tool_calls boolean, new_tool_calls text, keep_metadata boolean, new_metadata text,
    keep_token_count boolean, new_token_count integer
)
returns table (
    writable boolean, allowed boolean, version bigint, "position" bigint, id uuid, role text, content text, content_parts text, tool_calls text, tool_call_id text,
    name text, metadata text, token_count integer, created_at timestamptz, updated_at timestamptz
)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done boolean;
    changed_at timestamptz;
    edited bigint;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.last_operation is not distinct from operation, c.updated_at into version, done, changed_at
    from public.conversations c
    where c.id = conversation and (owner is null or c.user_id = owner)
    for update;
    if not found then
        return;
    end if;

    -- A count is no metadata here, because it decides what is in a context.
    writable := true;
    if roles is not null and not (keep_content and keep_tool_calls and keep_token_count) then
        select m.role = any (roles) into writable
        from public.messages m
        where m.conversation_id = conversation and m.id = message;
    end if;
    allowed := done or if_match is null or version = any (if_match);
    if allowed and writable and not done and not (keep_content and keep_tool_calls and keep_metadata and keep_token_count) then
        changed_at := greatest(clock_timestamp(), changed_at + interval '1 microsecond');
        update public.messages m
        set content = n.content,
            content_parts = n.content_parts::json,
            parts_text = case when keep_content then m.parts_text else new_parts_text end,
            tool_calls = n.tool_calls::json,
            metadata = n.metadata::json,
            -- A count of the text before would be wrong.
            token_count = case
                when not keep_token_count then new_token_count
                when keep_content and keep_tool_calls then m.token_count
            end,
            updated_at = changed_at,
            size = message_size(n.content, n.content_parts, n.tool_calls, m.tool_call_id, m.name, n.metadata),
            characters = message_characters(n.content, n.content_parts, n.tool_calls)
        from (
            select case when keep_content then o.content else new_content end as content,
                case when keep_content then o.content_parts::text else new_parts end as content_parts,
                case when keep_tool_calls then o.tool_calls::text else new_tool_calls end as tool_calls,
                case when keep_metadata then o.metadata::text else coalesce(new_metadata, '{}') end as metadata
            from public.messages o
            where o.conversation_id = conversation and o.id = message
        ) n
        where m.conversation_id = conversation and m.id = message
        returning m.position into edited;
        if found then
            update public.conversations c
            set version = c.version + 1, updated_at = changed_at, last_operation = operation
            where c.id = conversation
            returning c.version into version;
            -- Metadata and a count say nothing that a summary could have said.
            if not (keep_content and keep_tool_calls) then
                perform change_messages(conversation, edited, version);
            end if;
        end if;
    end if;
    return query
    select writable, allowed, version, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
        m.metadata::text, m.token_count, m.created_at, m.updated_at
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
end
$$;
