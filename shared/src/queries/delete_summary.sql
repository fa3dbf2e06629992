-- Deletes the newest summary. An older one takes its place. Returns no row where the owner has no such conversation, or where it has no
-- summary. `outcome` is precondition where the version is none of `if_match`, and reused where another request had this operation. It is
-- repeated where the request was done before. Then the version is what it was behind it.
create function delete_summary(conversation uuid, owner text, operation uuid, request integer, if_match bigint[], retention integer)
returns table (outcome text, version bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan
-- `summaries` may be empty when the plan is made, and must not be read as a whole later.
set enable_seqscan = off as $$
#variable_conflict use_variable
declare
    newest bigint;
    done record;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.summary_through into version, newest
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;
    select r.outcome, r.version into done from recall(conversation, operation, request) r;
    if done.outcome is not null then
        outcome := done.outcome;
        version := case when outcome = 'repeated' then done.version else version end;
        return next;
        return;
    end if;
    if newest is null then
        return;
    end if;

    if not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        delete from public.summaries s where s.conversation_id = conversation and s.through = newest;
        -- No message has changed, so a summary that is being made is still right.
        update public.conversations c
        set version = c.version + 1,
            updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond'),
            summary_through = older.through,
            summary_created_at = older.created_at
        from (select) one
            left join lateral newest_summary(conversation) older on true
        where c.id = conversation
        returning c.version into version;
        perform remember(conversation, operation, request, version, null);
    end if;
    return next;
end
$$;
