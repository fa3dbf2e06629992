-- Deletes the messages of the line from a position on, and what is kept below them. 0: deletes all messages. Their positions are not used
-- again, because `next_position` stays.
-- Returns no row where the owner has no such conversation. `outcome` is precondition where the version is none of `if_match`, and reused
-- where another request had this operation. It is repeated where the request was done before. Then the version and the number are what
-- they were behind it.
create function rewind_conversation(
    conversation uuid, owner text, operation uuid, request integer, if_match bigint[], first bigint, retention integer
)
returns table (outcome text, version bigint, deleted bigint)
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    done record;
    of_line bigint;
    has_kept boolean;
begin
    -- Writers to a conversation take turns from here on.
    select c.version, c.kept_count > 0 into version, has_kept
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;

    select r.outcome, r.version, r.result into done from recall(conversation, operation, request) r;
    if done.outcome is not null then
        outcome := done.outcome;
        version := case when outcome = 'repeated' then done.version else version end;
        deleted := done.result;
    elsif not (if_match is null or version = any (if_match)) then
        outcome := 'precondition';
    else
        delete from public.messages m where m.conversation_id = conversation and m.position >= first;
        get diagnostics of_line = row_count;
        deleted := of_line + case when has_kept then delete_kept_below(conversation, first) else 0 end;
        if deleted > 0 then
            update public.conversations c
            set message_count = c.message_count - of_line,
                version = c.version + 1,
                updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
            where c.id = conversation
            returning c.version into version;
            perform change_messages(conversation, first, false, version);
        end if;
        perform remember(conversation, operation, request, version, deleted);
    end if;
    return next;
end
$$;
