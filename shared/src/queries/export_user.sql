-- What is stored for a user, by conversation and position, kept messages among those of the line: from the conversation `from_id` on. `after` says what was sent of that one.
-- -1: nothing. Less than -1: its summaries up to the position -1 - `after`. 0 or more: all its summaries, and its messages up to there.
--
-- A conversation is a row with the outcome conversation, and a row with the outcome summary for each of its summaries. These are at most as
-- many as a line can hold. A message is a row with the outcome message. If there may be more than about `bytes`, the last row has the
-- outcome more. All rows are of one snapshot.
create function export_user(of_user text, from_id uuid, after bigint, bytes bigint, retention integer)
returns table (
    outcome text, nearest bigint, version bigint, id uuid, user_id text, title text, metadata text, message_count bigint,
    created_at timestamptz, updated_at timestamptz, summary_through bigint, summary_created_at timestamptz, last_message_at timestamptz,
    archived_at timestamptz, pinned_at timestamptz, expires_at timestamptz, forked_from uuid, forked_position bigint,
    kept_count bigint, next_position bigint, "position" bigint, message_id uuid, role text, content text, content_parts text, tool_calls text,
    tool_call_id text, name text, message_metadata text, token_count integer, status text, message_created_at timestamptz,
    message_updated_at timestamptz, extra text, feedback text, summarized bigint, parent uuid, is_kept boolean
)
language plpgsql stable security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    -- The bytes of a line without the texts of what it shows.
    frame constant bigint := 350;
    conversations uuid[];
    conversation uuid;
    head conversation_row;
    sent bigint;
    used bigint := 0;
    is_cut boolean := false;
    line_bytes bigint;
    first bigint;
    last bigint;
begin
    -- No more than fit. They are sorted for each page, because no index has this order: it would cost every append.
    select array_agg(own.id order by own.id) into conversations
    from (
        select c.id from public.conversations c
        where c.user_id = of_user and c.id >= from_id and is_kept(c.expires_at, c.updated_at, retention)
        order by c.id limit bytes / frame + 2
    ) own;
    foreach conversation in array coalesce(conversations, '{}') loop
        sent := case when conversation = from_id then after else -1 end;
        head.id := conversation;
        if sent < 0 then
            first := -1 - sent;
            -- The first one in any case, and with it the ones that take half a page, as JSON writes them.
            select max(part.through), coalesce(sum(part.bytes), 0) into last, line_bytes
            from (
                select one.through, one.bytes, sum(one.bytes) over in_order as bytes_so_far, row_number() over in_order as number
                from (
                    select s.through, octet_length(to_json(s.content)::text) + frame as bytes
                    from public.summaries s
                    where s.conversation_id = conversation and s.through > first
                ) one
                window in_order as (order by one.through rows unbounded preceding)
            ) part
            where part.number = 1 or part.bytes_so_far <= bytes / 2;
            if sent = -1 or last is not null then
                return query
                select shown.*, c.next_position, null::bigint, null::uuid, null, null, null, null, null, null, null, null::integer, null,
                    null::timestamptz, null::timestamptz, null, null, null::bigint, null::uuid, null::boolean
                from public.conversations c, conversation_row(c, 'conversation') shown
                where c.id = conversation;
                head.outcome := 'summary';
                return query
                select (head).*, null::bigint, s.through, null::uuid, null, s.content, null, null, null, null, null, s.token_count, null,
                    s.created_at, null::timestamptz, null, null, s.messages, null::uuid, null::boolean
                from public.summaries s
                where s.conversation_id = conversation and s.through > first and s.through <= last
                order by s.through;
                select line_bytes + 2 * frame + octet_length(c.metadata::text) into line_bytes
                from public.conversations c where c.id = conversation;
                used := used + line_bytes;
            end if;
            -- A line that does not have all of them is the last one.
            is_cut := exists (select from public.summaries s where s.conversation_id = conversation and s.through > coalesce(last, first));
            exit when is_cut or used >= bytes;
            sent := 0;
        end if;

        select max(part.position), coalesce(sum(part.bytes), 0) into last, line_bytes
        from (
            select m.position, message_bytes(m.size, m.feedback) + frame as bytes,
                sum(message_bytes(m.size, m.feedback) + frame) over (order by m.position rows unbounded preceding)
                    - message_bytes(m.size, m.feedback) - frame as bytes_before
            from stored_messages m
            where m.conversation_id = conversation and m.position > sent
            order by m.position limit (bytes - used) / frame + 1
        ) part
        where part.bytes_before <= bytes - used;
        head.outcome := 'message';
        return query
        select (head).*, null::bigint, m.position, m.id, m.role, m.content, m.content_parts::text, m.tool_calls::text, m.tool_call_id, m.name,
            m.metadata::text, m.token_count, message_status(m.in_progress, m.alive_at, m.updated_at), m.created_at, m.updated_at,
            m.extra::text, m.feedback::text, null::bigint, case when m.is_kept then id_at(conversation, m.parent_position) end, m.is_kept
        from stored_messages m
        where m.conversation_id = conversation and m.position > sent and m.position <= last
        order by m.position;
        used := used + line_bytes;
        exit when used >= bytes;
    end loop;
    if is_cut or used >= bytes then
        outcome := 'more';
        return next;
    end if;
end
$$;
