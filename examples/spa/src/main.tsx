import { AuthProvider } from 'latchet-client/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { auth } from './auth';
import './style.css';

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <AuthProvider auth={auth}><App /></AuthProvider>
  </StrictMode>,
);
