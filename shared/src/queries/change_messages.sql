-- Records that messages from a position on were edited or deleted, and deletes the summaries that stood for one of them. The caller has
-- locked the conversation's row, and `changed_in` is its new version.
create function change_messages(conversation uuid, first bigint, changed_in bigint) returns void
language plpgsql
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    positions bigint[];
    versions bigint[];
begin
    delete from public.summaries s where s.conversation_id = conversation and s.through >= first;

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
    from (select) one
        left join lateral (
            select s.through, s.created_at from public.summaries s where s.conversation_id = conversation order by s.through desc limit 1
        ) newest on true
    where c.id = conversation;
end
$$;
