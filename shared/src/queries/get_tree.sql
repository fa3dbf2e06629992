-- Reads messages as `get_chat_history` does, with what is known of the tree. Which ones: with `line`, those of the path that ends with that
-- message. With `everything`, all messages, kept or not. Else those of the line. Returns no row where there is no such message, either.
--
-- `parent` and `on_line` are for `everything`. `versions` are the ids of the messages that follow the same message, oldest first. They are read
-- for `with_versions`.
create function get_tree(
    conversation uuid, owner text, known text[], after bigint, before bigint, last bigint, newest_first boolean, wanted bigint,
    bytes bigint, line uuid, everything boolean, with_versions boolean, retention integer
)
returns table (
    version bigint, abandoned bigint, unchanged boolean, "position" bigint, id uuid, role text, content text, content_parts text,
    tool_calls text, tool_call_id text, name text, metadata text, token_count integer, status text, created_at timestamptz, updated_at timestamptz,
    extra text, feedback text, parent uuid, on_line boolean, versions uuid[]
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `kept_messages` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    -- The line up to `branch`, and the kept messages at the positions `path`. Null: all kept ones.
    path bigint[] := '{}';
    branch bigint := 9223372036854775807;
    page bigint[];
    direction constant bigint := case when newest_first then -1 else 1 end;
begin
    select c.version into version
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention);
    if not found then
        return;
    end if;
    if everything then
        path := null;
    elsif line is not null then
        select to_line.path, to_line.branch into path, branch from path_to(conversation, line) to_line;
        if not found then
            return;
        end if;
    end if;
    abandoned := abandoned(conversation) # abandoned_kept(conversation, path);
    unchanged := known is null or etag(version, abandoned) = any (known);
    return next;
    if unchanged then
        return;
    end if;

    if last is not null then
        page := page_of(conversation, path, branch, after, before, true, last);
    else
        page := page_of(conversation, path, branch, after, before, newest_first, wanted);
    end if;
    return query
    select version, abandoned, false, shown.position, shown.id, shown.role, shown.content, shown.content_parts::text, shown.tool_calls::text,
        shown.tool_call_id, shown.name, shown.metadata::text, shown.token_count,
        message_status(shown.in_progress, shown.alive_at, shown.updated_at), shown.created_at, shown.updated_at, shown.extra::text,
        shown.feedback::text, case when everything then id_at(conversation, shown.parent) end, shown.on_line,
        case when with_versions then versions_behind(conversation, shown.parent) end
    from (
        select m.*, not m.is_kept as on_line,
            -- Only where it is asked for, because it takes a look-up for each message.
            case
                when not (everything or with_versions) then null
                when m.is_kept then m.parent_position
                else coalesce((
                    select b.position from public.messages b
                    where b.conversation_id = conversation and b.position < m.position
                    order by b.position desc limit 1
                ), 0)
            end as parent,
            sum(message_bytes(m.size, m.feedback)) over (order by m.position * direction rows unbounded preceding)
                - message_bytes(m.size, m.feedback) as bytes_before
        from unnest(page) as wanted (position)
            cross join lateral (
                select one.* from stored_messages one where one.conversation_id = conversation and one.position = wanted.position limit 1
            ) m
    ) shown
    where shown.bytes_before <= bytes
    order by shown.position * direction;
end
$$;

-- The positions of a page of messages: of the line up to `branch`, and of the kept ones in `path` (null: all of them).
create function page_of(
    conversation uuid, path bigint[], branch bigint, after bigint, before bigint, newest_first boolean, wanted bigint
)
returns bigint[]
language plpgsql stable
-- Rows come from the indexes in their order, so that no page reads a whole conversation.
set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    if newest_first then
        return array(
            select m.position
            from stored_messages m
            where m.conversation_id = conversation and m.position > after and m.position < before
                and case when m.is_kept then path is null or m.position = any (path) else m.position <= branch end
            order by m.position desc limit wanted
        );
    end if;
    return array(
        select m.position
        from stored_messages m
        where m.conversation_id = conversation and m.position > after and m.position < before
            and case when m.is_kept then path is null or m.position = any (path) else m.position <= branch end
        order by m.position limit wanted
    );
end
$$;
