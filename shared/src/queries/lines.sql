-- The tree of a conversation with versions. `messages` has its line, and `kept_messages` has what is beside it. `kept_messages` may be empty when
-- a plan is made, and must not be read as a whole later. So each function here that reads it says that no table is read as a whole. A
-- planner that knows nothing of the table would read all kept messages of a conversation to find some. A lateral `limit` keeps it from
-- that: it looks them up one by one.

-- All messages. Those of the line have no `parent_position`. Neither part has a condition of its own, so that a statement that reads in order
-- reads both tables in order.
create view stored_messages as
    select m.conversation_id, m.position, null::bigint as parent_position, false as is_kept, m.id, m.role, m.content, m.content_parts,
        m.tool_calls, m.tool_call_id, m.name, m.metadata, m.extra, m.feedback, m.token_count, m.in_progress, m.alive_at, m.created_at,
        m.updated_at, m.size, m.characters, m.characters_before, m.tokens_before, m.media_bytes, m.media_tokens
    from public.messages m
    union all
    select k.conversation_id, k.position, k.parent_position, true, k.id, k.role, k.content, k.content_parts, k.tool_calls, k.tool_call_id,
        k.name, k.metadata, k.extra, k.feedback, k.token_count, k.in_progress, k.alive_at, k.created_at, k.updated_at, k.size,
        k.characters, k.characters_before, k.tokens_before, k.media_bytes, k.media_tokens
    from public.kept_messages k;

-- Where a message stands: its position, and that of the message that it follows (0: none). No row: the conversation has no such message.
create function place_of(conversation uuid, message uuid)
returns table ("position" bigint, parent_position bigint)
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    return query
    select m.position,
        coalesce((
            select b.position from public.messages b
            where b.conversation_id = conversation and b.position < m.position
            order by b.position desc limit 1
        ), 0)
    from public.messages m
    where m.conversation_id = conversation and m.id = message;
    if not found then
        return query
        select k.position, k.parent_position
        from public.kept_messages k
        where k.conversation_id = conversation and k.id = message;
    end if;
end
$$;

-- A kept message and the kept ones before it, up to the line. No row: the message at this position is not kept.
create function kept_path(conversation uuid, last bigint) returns table ("position" bigint, parent_position bigint)
language sql stable
set enable_seqscan = off as $$
    with recursive up as (
        select k.position, k.parent_position from public.kept_messages k where k.conversation_id = $1 and k.position = $2
        union all
        select k.position, k.parent_position
        from up
            cross join lateral (
                select one.position, one.parent_position from public.kept_messages one
                where one.conversation_id = $1 and one.position = up.parent_position
                limit 1
            ) k
    )
    select up.position, up.parent_position from up
$$;

-- The path that ends with a message: the line up to the position `branch`, and then the kept messages at the positions `path`. No row: the
-- conversation has no such message.
create function path_to(conversation uuid, message uuid) returns table (path bigint[], branch bigint)
language sql stable as $$
    select coalesce(array_agg(up.position) filter (where up.position is not null), '{}'), coalesce(min(up.parent_position), place.position)
    from place_of($1, $2) place left join kept_path($1, place.position) up on true
    group by place.position
$$;

-- Those of these messages that are kept.
create function kept_among(conversation uuid, ids uuid[]) returns setof public.kept_messages
language sql stable set enable_seqscan = off as $$
    select k.*
    from unnest($2) as wanted (id)
        cross join lateral (select one.* from public.kept_messages one where one.conversation_id = $1 and one.id = wanted.id limit 1) k
$$;

-- Those of these messages that are stored, each with its number among the ids, from 1. `has_kept` is false where none can be kept.
create function stored_among(conversation uuid, ids uuid[], has_kept boolean)
returns table (
    number bigint, "position" bigint, id uuid, role text, content text, content_parts json, tool_calls json, tool_call_id text, name text,
    metadata json, extra json, token_count integer, in_progress boolean, alive_at timestamptz, created_at timestamptz,
    updated_at timestamptz, feedback json, appended_version bigint, is_kept boolean
)
language sql stable as $$
    select n.number, stored.*
    from unnest($2) with ordinality as n (id, number)
        cross join lateral (
            select m.position, m.id, m.role, m.content, m.content_parts, m.tool_calls, m.tool_call_id, m.name, m.metadata, m.extra,
                m.token_count, m.in_progress, m.alive_at, m.created_at, m.updated_at, m.feedback, m.appended_version, false
            from public.messages m
            where m.conversation_id = $1 and m.id = n.id
            union all
            select k.position, k.id, k.role, k.content, k.content_parts, k.tool_calls, k.tool_call_id, k.name, k.metadata, k.extra,
                k.token_count, k.in_progress, k.alive_at, k.created_at, k.updated_at, k.feedback, k.appended_version, true
            from kept_among($1, $2) k
            where $3 and k.id = n.id
        ) stored
$$;

-- The ids of the messages that follow the one at this position (0: none), oldest first.
create function versions_behind(conversation uuid, parent bigint) returns uuid[]
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    return array(
        select version.id
        from (
            select k.position, k.id
            from public.kept_messages k
            where k.conversation_id = conversation and k.parent_position = parent
            union all
            -- What follows on the line, if the line has that message.
            (
                select m.position, m.id
                from public.messages m
                where m.conversation_id = conversation and m.position > parent
                    and not exists (
                        select from public.kept_messages p where p.conversation_id = conversation and p.position = parent
                    )
                order by m.position limit 1
            )
        ) version
        order by version.position
    );
end
$$;

-- The id of the message at this position. Null: there is none.
create function id_at(conversation uuid, place bigint) returns uuid
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    return coalesce(
        (select m.id from public.messages m where m.conversation_id = conversation and m.position = place),
        (select k.id from public.kept_messages k where k.conversation_id = conversation and k.position = place)
    );
end
$$;

-- How many complete messages the path has that ends with a kept one.
create function count_path(conversation uuid, last bigint) returns bigint
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    kept bigint;
    branch bigint;
begin
    select count(*) filter (where k.in_progress is not true), min(k.parent_position) into kept, branch
    from kept_path(conversation, last) up
        cross join lateral (
            select one.in_progress, one.parent_position from public.kept_messages one
            where one.conversation_id = conversation and one.position = up.position
            limit 1
        ) k;
    return kept + (
        select count(*) from public.messages m
        where m.conversation_id = conversation and m.position <= branch and m.in_progress is not true
    );
end
$$;

-- Where the line ends: 0 if it is empty.
create function end_of_line(conversation uuid) returns bigint
language sql stable as $$
    select coalesce((select m.position from public.messages m where m.conversation_id = $1 order by m.position desc limit 1), 0)
$$;

-- From a message on, goes to the newest of those that follow, again and again. Returns the position of the last one.
create function newest_below(conversation uuid, start bigint) returns bigint
language plpgsql stable set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    place bigint := start;
    child bigint;
begin
    if not exists (select from public.kept_messages k where k.conversation_id = conversation and k.position = start) then
        -- The way goes along the line, up to the first message that a newer one follows beside the line.
        select k.parent_position into place
        from public.kept_messages k
        where k.conversation_id = conversation and k.parent_position >= start
            and not exists (
                select from public.kept_messages p where p.conversation_id = conversation and p.position = k.parent_position
            )
            and k.position > coalesce((
                select m.position from public.messages m
                where m.conversation_id = conversation and m.position > k.parent_position
                order by m.position limit 1
            ), 0)
        order by k.parent_position limit 1;
        if not found then
            return greatest(start, end_of_line(conversation));
        end if;
    end if;
    loop
        select max(k.position) into child
        from public.kept_messages k
        where k.conversation_id = conversation and k.parent_position = place;
        exit when child is null;
        place := child;
    end loop;
    return place;
end
$$;

-- Moves the messages of the line between two positions beside it. The first of them follows the message at `parent`.
create function keep_messages(conversation uuid, first bigint, last bigint, parent bigint) returns void
language plpgsql as $$
#variable_conflict use_variable
begin
    with gone as (
        delete from public.messages m
        where m.conversation_id = conversation and m.position between first and last
        returning m.*
    )
    insert into public.kept_messages (
        conversation_id, position, parent_position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata,
        extra, feedback, token_count, in_progress, alive_at, characters_before, tokens_before, created_at, updated_at, size, characters,
        appended_version, media_bytes, media_tokens
    )
    select g.conversation_id, g.position, coalesce(lag(g.position) over (order by g.position), parent), g.id, g.role, g.content,
        g.content_parts, g.parts_text, g.tool_calls, g.tool_call_id, g.name, g.metadata, g.extra, g.feedback, g.token_count, g.in_progress,
        g.alive_at, g.characters_before, g.tokens_before, g.created_at, g.updated_at, g.size, g.characters, g.appended_version,
        g.media_bytes, g.media_tokens
    from gone g;
end
$$;

-- Moves kept messages to the line.
create function bring_messages(conversation uuid, positions bigint[]) returns void
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    with gone as (
        delete from public.kept_messages k
        using unnest(positions) as wanted (position)
        where k.conversation_id = conversation and k.position = wanted.position
        returning k.*
    )
    insert into public.messages (
        conversation_id, position, id, role, content, content_parts, parts_text, tool_calls, tool_call_id, name, metadata, extra, feedback,
        token_count, in_progress, alive_at, characters_before, tokens_before, created_at, updated_at, size, characters, owner_key,
        appended_version, media_bytes, media_tokens
    )
    select g.conversation_id, g.position, g.id, g.role, g.content, g.content_parts, g.parts_text, g.tool_calls, g.tool_call_id, g.name,
        g.metadata, g.extra, g.feedback, g.token_count, g.in_progress, g.alive_at, g.characters_before, g.tokens_before, g.created_at,
        g.updated_at, g.size, g.characters, owner.key, g.appended_version, g.media_bytes, g.media_tokens
    from gone g
        cross join (select public.owner_key(c.user_id) as key from public.conversations c where c.id = conversation) owner
    order by g.position;
end
$$;

-- Makes the line end at a position: of a message, or 0. What leaves the line is kept, and what comes to it is kept no longer. The caller has
-- locked the conversation's row. Each message is the end of one path, so no summary becomes void, and a summary that is being made is still
-- right. Returns null. If more than 10,000 messages would have to move, none does, and their number is returned.
create function move_line(conversation uuid, last bigint) returns bigint
language plpgsql
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    path bigint[];
    branch bigint;
    leaving bigint;
    moved bigint;
begin
    select coalesce(array_agg(up.position), '{}'), coalesce(min(up.parent_position), last) into path, branch
    from kept_path(conversation, last) up;
    select count(*) into leaving from public.messages m where m.conversation_id = conversation and m.position > branch;
    moved := leaving + cardinality(path);
    if moved > 10000 then
        return moved;
    end if;
    perform keep_messages(conversation, branch + 1, 9223372036854775807, branch);
    perform bring_messages(conversation, path);
    update public.conversations c
    set message_count = c.message_count - leaving + cardinality(path),
        kept_count = coalesce(c.kept_count, 0) + leaving - cardinality(path),
        summary_through = newest.through,
        summary_created_at = newest.created_at
    from (select) one left join lateral newest_summary(conversation) newest on true
    where c.id = conversation;
    return null;
end
$$;

-- Deletes the kept messages that descend from messages of the line at `first` and behind it. 0: deletes all. Returns how many these were.
create function delete_kept_below(conversation uuid, first bigint) returns bigint
language plpgsql
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    deleted bigint;
begin
    with recursive below as (
        select k.position
        from public.kept_messages k
        where k.conversation_id = conversation and k.parent_position >= first
            and not exists (
                select from public.kept_messages p where p.conversation_id = conversation and p.position = k.parent_position
            )
        union all
        select k.position
        from below
            cross join lateral (
                select child.position from public.kept_messages child
                where child.conversation_id = conversation and child.parent_position = below.position
                offset 0
            ) k
    )
    delete from public.kept_messages k
    using below
    where k.conversation_id = conversation and k.position = below.position;
    get diagnostics deleted = row_count;
    update public.conversations c set kept_count = c.kept_count - deleted where c.id = conversation;
    return deleted;
end
$$;

-- Deletes a kept message. What follows it follows its parent then. The caller has locked the conversation's row, and `changed_in` is its new
-- version.
create function delete_kept(conversation uuid, message uuid, changed_in bigint) returns void
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    deleted bigint;
    parent bigint;
begin
    select k.position, k.parent_position into deleted, parent
    from public.kept_messages k
    where k.conversation_id = conversation and k.id = message;
    perform change_messages(conversation, deleted, true, changed_in);
    delete from public.kept_messages k where k.conversation_id = conversation and k.position = deleted;
    perform move_versions(conversation, deleted, parent);
    update public.conversations c set kept_count = c.kept_count - 1 where c.id = conversation;
end
$$;

-- Makes the kept messages that follow one message follow another.
create function move_versions(conversation uuid, parent bigint, new_parent bigint) returns void
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
begin
    update public.kept_messages k
    set parent_position = new_parent
    where k.conversation_id = conversation and k.parent_position = parent;
end
$$;
