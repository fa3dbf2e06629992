-- Makes the line of a conversation end with a message; null: makes it empty. With `newest`, it goes on below that message, to the newest one
-- at each step. What leaves the line is kept.
--
-- Returns no row where the owner has no such conversation, or where it has no such message. `outcome` is precondition where the version is
-- none of `if_match`, and reused where another request had this operation. It is repeated where the request was done before. Then the
-- version is what it was behind it. It is large where more messages would have to move than one request may, and `nearest` is their number.
create function select_line(
    conversation uuid, owner text, operation uuid, request integer, if_match bigint[], message uuid, newest boolean, retention integer
)
returns setof conversation_row
language plpgsql security definer set search_path from current set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_variable
declare
    answer conversation_row;
    done record;
    place bigint := 0;
begin
    -- Writers to a conversation take turns from here on.
    select c.version into answer.version
    from public.conversations c
    where c.id = conversation and is_visible(c, owner, retention)
    for update;
    if not found then
        return;
    end if;
    select r.outcome, r.version into done from recall(conversation, operation, request) r;
    if done.outcome is not null then
        answer.outcome := done.outcome;
        if done.outcome = 'repeated' then
            select shown.* into answer from public.conversations c, conversation_row(c, done.outcome) shown where c.id = conversation;
            answer.version := done.version;
        end if;
        return next answer;
        return;
    end if;
    if message is not null then
        select p.position into place from place_of(conversation, message) p;
        if not found then
            return;
        end if;
    end if;
    if newest then
        place := newest_below(conversation, place);
    end if;

    if not (if_match is null or answer.version = any (if_match)) then
        answer.outcome := 'precondition';
    elsif place <> end_of_line(conversation) then
        answer.nearest := move_line(conversation, place);
        answer.outcome := case when answer.nearest is not null then 'large' end;
        if answer.outcome is null then
            update public.conversations c
            set version = c.version + 1,
                updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
            where c.id = conversation
            returning c.version into answer.version;
        end if;
    end if;
    if answer.outcome is not null then
        return next answer;
        return;
    end if;
    perform remember(conversation, operation, request, answer.version, null);
    return query
    select shown.* from public.conversations c, conversation_row(c, null) shown where c.id = conversation;
end
$$;
