-- Records that messages were edited or deleted: those of the line from a position on, or with `is_kept` the one at this position. Deletes the
-- summaries that stood for one of them. The caller has locked the conversation's row, and `changed_in` is its new version.
create function change_messages(conversation uuid, first bigint, is_kept boolean, changed_in bigint) returns void
language plpgsql
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    positions bigint[];
    versions bigint[];
    has_kept boolean;
begin
    -- An earlier change at a later position is never the last one of any beginning of the conversation again.
    select coalesce(array_agg(old.position order by old.position) filter (where old.position < first), '{}'),
        coalesce(array_agg(old.version order by old.position) filter (where old.position < first), '{}'), bool_or(c.kept_count > 0)
    into positions, versions, has_kept
    from public.conversations c left join unnest(c.changed_positions, c.changed_versions) as old (position, version) on true
    where c.id = conversation;
    if has_kept then
        perform void_summaries(conversation, first, is_kept);
    else
        delete from public.summaries s where s.conversation_id = conversation and s.through >= first;
    end if;
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

-- Deletes the summaries that stood for one of these messages. A summary stands for the path that ends with its message.
create function void_summaries(conversation uuid, first bigint, is_kept boolean) returns void
language plpgsql set enable_seqscan = off as $$
#variable_conflict use_variable
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
