2Été à la plage2the cat sat2the cat sat2aa-bbb_cccc2  2
tab	nl
end