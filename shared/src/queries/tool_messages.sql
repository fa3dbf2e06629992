-- How often a word is in a text.
create function times_in(content text, word text) returns integer
language sql immutable parallel safe as $$
    select coalesce((char_length($1) - char_length(replace($1, $2, ''))) / char_length($2), 0)
$$;

-- How many results of tools a message has. It is one itself, or has content parts as Anthropic, OpenAI (Responses), the AI SDK, Gemini and
-- Converse spell them.
create function results_in(role text, content_parts json) returns integer
language sql immutable parallel safe as $$
    select case
        when $1 in ('system', 'developer') then 0
        else greatest(
            times_in($2::text, '"tool_result"') + times_in($2::text, '"function_call_output"') + times_in($2::text, '"tool-result"')
            + times_in($2::text, '"functionResponse"') + times_in($2::text, '"function_response"') + times_in($2::text, '"toolResult"'),
            case when $1 = 'tool' then 1 else 0 end
        )
    end
$$;

-- How many calls of tools a message has, without those whose results are in the same message. The texts of parts are not parsed, so this
-- is what there may be.
create function calls_in(role text, tool_calls json, content_parts json) returns integer
language sql immutable parallel safe as $$
    select case
        when $1 <> 'assistant' then 0
        else greatest(
            case
                -- An empty object is no call.
                when $2 is null or $2::text !~ '[^][{},[:space:]]' then 0
                when json_typeof($2) = 'array' then json_array_length($2)
                else 1
            end
            + times_in($3::text, '"tool_use"') + times_in($3::text, '"function_call"') + times_in($3::text, '"tool-call"')
            + times_in($3::text, '"functionCall"') + times_in($3::text, '"toolUse"')
            - results_in($1, $3),
            0
        )
    end
$$;

-- Whether a message is the beginning of something new, and not instructions or results.
create function speaks(role text, content text, content_parts json) returns boolean
language sql immutable parallel safe as $$
    select $1 = 'assistant' or $1 = 'user' and ($2 is not null or results_in($1, $3) = 0)
$$;
