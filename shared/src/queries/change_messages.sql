-- Records that messages from a position on were edited or deleted, and deletes the summaries that stood for one of them. A message at this
-- position may be kept: then it is the only one, and no message of the line has changed. The caller has locked the conversation's row, and
-- `changed_in` is its new version.
create function change_messages(conversation uuid, first bigint, changed_in bigint) returns void
language plpgsql
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    has_kept constant boolean := (select c.kept_count > 0 from public.conversations c where c.id = conversation);
begin
    if has_kept then
        if void_summaries(conversation, first) then
            return;
        end if;
    else
        delete from public.summaries s where s.conversation_id = conversation and s.through >= first;
    end if;
    perform note_change(conversation, first, changed_in);
end
$$;

-- Deletes the summaries that stood for a message that is kept, or for one of the line from a position on. A summary stands for the path
-- that ends with its message. Returns whether the message at this position is kept.
create function void_summaries(conversation uuid, first bigint) returns boolean
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    is_kept constant boolean := exists (
        select from public.kept_messages k where k.conversation_id = conversation and k.position = first
    );
begin
    delete from public.summaries s
    where s.conversation_id = conversation and s.through >= first
        and coalesce(
            (
                select case when is_kept then bool_or(up.position = first) else min(up.parent_position) >= first end
                from kept_path(conversation, s.through) up
            ),
            not is_kept
        );
    return is_kept;
end
$$;

-- Records that the line has changed from a position on, and finds the newest summary that stands for messages of the line.
create function note_change(conversation uuid, first bigint, changed_in bigint) returns void
language plpgsql
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    positions bigint[];
    versions bigint[];
begin
    -- An earlier change at a later position is never the last one of any beginning of the conversation again.
    select coalesce(array_agg(old.position order by old.position), '{}'), coalesce(array_agg(old.version order by old.position), '{}')
    into positions, versions
    from public.conversations c, unnest(c.changed_positions, c.changed_versions) as old (position, version)
    where c.id = conversation and old.position < first;
    if cardinality(positions) >= 16 then
        -- The two oldest become one, which says that more has changed than was so.
        positions := positions[1:1] || positions[3:];
        versions := versions[2:];
    end if;
    update public.conversations c
    set changed_positions = positions || first,
        changed_versions = versions || changed_in,
        summary_through = newest.through,
        summary_created_at = newest.created_at
    from (select) one left join lateral newest_summary(conversation) newest on true
    where c.id = conversation;
end
$$;

-- The newest summary that stands for messages of the line. No row: there is none.
create function newest_summary(conversation uuid) returns table (through bigint, created_at timestamptz)
language sql stable as $$
    select s.through, s.created_at
    from public.summaries s
    where s.conversation_id = $1 and not exists (
        select from public.kept_messages k where k.conversation_id = $1 and k.position = s.through
    )
    order by s.through desc limit 1
$$;
